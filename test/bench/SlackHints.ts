/**
 * Measures the time from an event at Slack to the stored message, through Socket Mode, the poller and a store in
 * memory: new messages, late replies and edits, at random times. `node test/bench/SlackHints.ts [EVENTS]`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SlackServer from "../support/SlackServer.ts"
import * as Polling from "../support/slack/Polling.ts"
import * as SocketMode from "../support/slack/SocketMode.ts"
import { Random } from "../chaos/Random.ts"

const [events = 100] = process.argv.slice(2).map(Number)

const program = Effect.gen(function* () {
  const server = yield* SlackServer.make({ now: 1_690_000_000 })
  const mode = yield* SocketMode.make(server)
  const { workspace } = server
  const channels = Array.from({ length: 20 }, (_, index) => workspace.addChannel(`channel-${index}`))
  const parents = channels.map((channel, index) =>
    workspace.post(channel, "old", { ts: `16000000${10 + index}.000100` })
  )
  const { id } = yield* Polling.connect(mode.url, { token: server.token, appToken: SocketMode.appToken })
  yield* Effect.sleep("5 seconds")
  server.forget()
  const random = new Random(1)
  const latencies: Array<number> = []
  const one = (index: number) =>
    Effect.gen(function* () {
      const which = random.between(0, channels.length - 1)
      const [channel = "", parent = ""] = [channels[which], parents[which]]
      const text = `event ${index}`
      const from = yield* Clock.currentTimeMillis
      let ts = parent
      if (index % 3 === 0) ts = workspace.post(channel, text)
      else if (index % 3 === 1) ts = workspace.post(channel, text, { thread: parent })
      else workspace.edit(channel, parent, text)
      yield* Effect.repeat(Effect.delay(Polling.textOf(id, `${channel}/${ts}`), "20 millis"), {
        until: (found) => found === text || (index % 3 === 2 && found !== "old" && found?.startsWith("event") === true)
      })
      latencies.push((yield* Clock.currentTimeMillis) - from)
    })
  const begun = Array.from({ length: events }, (_, index) => index)
  yield* Effect.forEach(
    begun,
    (index) => Effect.andThen(Effect.sleep(`${random.between(0, events * 600)} millis`), one(index)),
    { concurrency: "unbounded", discard: true }
  )
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  console.log(`${events} events: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms, ${server.count()} calls`)
}).pipe(Effect.scoped, Effect.provide(Polling.layer))

await Effect.runPromise(program)
process.exit(0)
