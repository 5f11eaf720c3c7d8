/**
 * A day of polling a large Slack workspace, on the fake and on virtual time: calls by method, and how long it takes
 * until a change is seen. `node test/bench/SlackDay.ts [CHANNELS] [MESSAGES] [THREADS] [POLLS]`; a day has that many
 * polls.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as SlackServer from "../support/SlackServer.ts"
import { expected, mirrored, Model, open } from "../support/slack/Model.ts"

const [channels = 3000, messages = 200_000, threads = 20_000, polls = 144] = process.argv.slice(2).map(Number)
const now = 1_700_000_000
const day = 86_400

const calls = (server: SlackServer.SlackServer) => {
  const counted: Record<string, number> = {}
  for (const { method } of server.requests) counted[method] = (counted[method] ?? 0) + 1
  server.forget()
  return counted
}

const program = Effect.gen(function* () {
  yield* TestClock.setTime(now * 1000)
  const server = yield* SlackServer.make({ now })
  server.withoutSockets = true
  const { workspace } = server
  const ids = Array.from({ length: channels }, (_, index) => workspace.addChannel(`channel-${index}`))
  // A tenth of the channels was active within the last day, the others between a day and two years ago.
  for (let index = 0; index < messages; index++) {
    const at = index % channels
    const newest = at % 10 === 0 ? (at % day) + 60 : day * (1 + (at % 700))
    const seconds = now - newest - Math.floor(index / channels) * 3600
    const ts = workspace.post(ids[at] ?? "", `message ${index}`, {
      ts: `${seconds}.${String(index % 1_000_000).padStart(6, "0")}`
    })
    if (index < threads) workspace.post(ids[at] ?? "", "reply", { ts: `${seconds + 30}.000001`, thread: ts })
  }
  const model = new Model()
  const session = yield* open(server)
  yield* model.run(session)
  console.log("first sync", calls(server), "rows", model.rows.size)

  const pending = new Map<string, { readonly kind: string; readonly at: number }>()
  const seen = new Map<string, Array<number>>()
  for (let poll = 0; poll < polls; poll++) {
    yield* TestClock.adjust((day / polls) * 1000)
    const time = yield* Clock.currentTimeMillis
    workspace.now = Math.floor(time / 1000) - 30
    const channel = ids[(poll * 37) % channels] ?? ""
    const [first, second, third] = workspace.channel(channel).parents
    const active = workspace.post(ids[((poll * 7) % Math.ceil(channels / 10)) * 10] ?? "", "new in an active channel")
    pending.set(`${ids[((poll * 7) % Math.ceil(channels / 10)) * 10]}/${active}`, {
      kind: "new, active channel",
      at: time
    })
    const dormant = ids[(poll * 53 + 1) % channels] ?? ""
    pending.set(`${dormant}/${workspace.post(dormant, "new in any channel")}`, { kind: "new, any channel", at: time })
    if (first !== undefined) {
      pending.set(`${channel}/${workspace.post(channel, "late", { thread: first.ts })}`, {
        kind: "late reply",
        at: time
      })
    }
    if (second !== undefined && poll % 4 === 0) {
      workspace.edit(channel, second.ts, `edited in poll ${poll}`)
      pending.set(`${channel}/${second.ts}`, { kind: "edit", at: time })
    }
    if (third !== undefined && poll % 24 === 0) {
      workspace.delete(channel, third.ts)
      pending.set(`${channel}/${third.ts}`, { kind: "deletion", at: time })
    }
    yield* model.run(session)
    const after = yield* Clock.currentTimeMillis
    const [there, here] = [expected(server), mirrored(model)]
    for (const [id, { at, kind }] of pending) {
      if (there.get(id) !== here.get(id)) continue
      pending.delete(id)
      seen.set(kind, [...(seen.get(kind) ?? []), (after - at) / 60_000])
    }
  }
  console.log("a day of polls", calls(server))
  for (const [kind, minutes] of seen) {
    const sorted = minutes.toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]?.toFixed(0)
    console.log(
      `${kind}: ${sorted.length} seen, p50 ${at(0.5)} min, p90 ${at(0.9)} min, longest ${at(1)} min later than the poll after it`
    )
  }
  console.log(
    "not yet seen",
    Object.fromEntries([...Map.groupBy(pending.values(), ({ kind }) => kind)].map(([kind, all]) => [kind, all.length]))
  )
})

await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(TestClock.layer())))
