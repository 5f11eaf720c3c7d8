/**
 * A large Slack workspace in virtual time: its first sync, and a day of polling. Calls wait for Idem's quota, and
 * Slack's stand-in independently counts the calls that exceed a minute's limits.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type { AnySession } from "../../../src/contract/Integration.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { integration } from "../../../src/integrations/Slack.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { VirtualClock } from "../../support/VirtualClock.ts"
import type { Row } from "../Table.ts"
import { progress } from "./Progress.ts"
import { SlackMirror } from "./SlackMirror.ts"

const seconds = { minute: 60, hour: 3_600, day: 86_400 }
/** Slack's limits a minute (https://docs.slack.dev/apis/web-api/rate-limits, and each method's page). */
const limits: Readonly<Record<string, number>> = {
  "conversations.history": 50,
  "conversations.replies": 50,
  "conversations.list": 20,
  "users.list": 20,
  "search.messages": 20
}

/** Counts calls by method, and the calls beyond the method's limit for a minute. */
const counter = (now: () => number) => {
  const calls: Record<string, number> = {}
  const windows = new Map<string, { minute: number; calls: number }>()
  let beyond = 0
  return {
    take: () => {
      const taken = { calls: { ...calls }, beyond }
      for (const method of Object.keys(calls)) delete calls[method]
      beyond = 0
      return taken
    },
    count: (method: string) => {
      calls[method] = (calls[method] ?? 0) + 1
      const minute = Math.floor(now() / 60_000)
      const window = windows.get(method)
      if (window?.minute === minute) window.calls += 1
      else windows.set(method, { minute, calls: 1 })
      if ((windows.get(method)?.calls ?? 0) > (limits[method] ?? Infinity)) beyond += 1
    }
  }
}

interface Size {
  readonly channels: number
  readonly messages: number
  readonly threads: number
  /** The number of simulated polls of the day. */
  readonly polls: number
}

/** The number of polls in a day, one every 5 minutes. */
export const pollsADay = 288

/** A tenth of the channels was active within the last day, the others between a day and two years ago. */
const fill = (server: SlackServer.SlackServer, { channels, messages, threads }: Size, now: number) => {
  const { workspace } = server
  const ids = Array.from({ length: channels }, (_, index) => workspace.addChannel(`channel-${index}`))
  const parents = messages - threads
  for (let index = 0; index < parents; index++) {
    const place = index % channels
    const newest = place % 10 === 0 ? (place % seconds.day) + 60 : seconds.day * (1 + (place % 700))
    const time = now - newest - Math.floor(index / channels) * seconds.hour
    const ts = workspace.post(ids[place] ?? "", `message ${index}`, {
      ts: `${time}.${String(index % 1_000_000).padStart(6, "0")}`
    })
    if (index < threads) workspace.post(ids[place] ?? "", "reply", { ts: `${time + 30}.000001`, thread: ts })
  }
  return ids
}

const simulate = (size: Size) => {
  const startAt = 1_700_000_000
  const clock = new VirtualClock(startAt * 1000)
  const counted = counter(clock.currentTimeMillisUnsafe)

  const program = Effect.gen(function* () {
    const server = yield* SlackServer.make({ now: startAt })
    const { workspace } = server
    const ids = fill(server, size, startAt)
    const quotas = yield* Quotas
    const config = yield* integration.decodeConfig({ slackApiUrl: server.url })
    const credentials = { token: server.token }
    const [first, ...others] = yield* integration.budgets({ config: config.json, credentials, account: "T1/U1" })
    if (first === undefined) return yield* Effect.die(new Error("no budget"))
    const meter = yield* RunMeter.make()
    let calls = 0
    const report = progress("calls")
    const open = (token: string) =>
      integration.open({
        config: config.json,
        credentials: { token },
        network: {
          addressOf: Effect.succeed,
          fetch: (input, init) => {
            counted.count(new URL(input instanceof Request ? input.url : input).pathname.replace(/^.*\//, ""))
            server.requests.length = 0
            report(++calls)
            return server.fetch(input, init)
          }
        },
        call: quotas.call({
          domain: "slack",
          budgets: [first, ...others],
          weights: config.quota.weights,
          timeout: integration.callTimeout,
          meter
        }),
        saveCredentials: () => Effect.void
      })
    const session = yield* open(server.token)
    const now = Effect.map(Clock.currentTimeMillis, (millis) => millis / 1000)
    const mirror = new SlackMirror()
    workspace.now = startAt
    yield* mirror.sync(session)
    const synced = { ...counted.take(), seconds: (yield* now) - startAt, rows: mirror.size }

    /** Polls for a day. After each poll, searches the mirror for each change, until the mirror has it. */
    const day = (by: AnySession) =>
      Effect.gen(function* () {
        const begun = yield* now
        const pending = new Map<string, { readonly kind: string; readonly at: number }>()
        const seen = new Map<string, Array<number>>()
        let longest = 0
        const report = progress("polls")
        for (let round = 0; round < size.polls; round++) {
          const due = begun + round * (seconds.day / pollsADay)
          const wait = due - (yield* now)
          if (wait > 0) yield* Effect.sleep(Duration.seconds(wait))
          const time = yield* now
          workspace.now = Math.floor(time)
          mirror.touched = new Set()
          const change = (kind: string, id: string) => pending.set(id, { kind, at: time })
          const active = ids[((round * 7) % Math.ceil(size.channels / 10)) * 10] ?? ""
          change("new message, active channel", `${active}/${workspace.post(active, "new")}`)
          const any = ids[(round * 53 + 1) % size.channels] ?? ""
          change("new message, any channel", `${any}/${workspace.post(any, "new")}`)
          const other = ids[(round * 37) % size.channels] ?? ""
          const [parent, edited, deleted] = workspace.channel(other).parents
          if (parent !== undefined)
            change("late reply", `${other}/${workspace.post(other, "late", { thread: parent.ts })}`)
          if (edited !== undefined && round % 4 === 0) {
            workspace.edit(other, edited.ts, `edited in poll ${round}`)
            change("edit", `${other}/${edited.ts}`)
          }
          if (deleted !== undefined && round % 24 === 0) {
            workspace.delete(other, deleted.ts)
            change("deletion", `${other}/${deleted.ts}`)
          }
          yield* mirror.sync(by)
          report(round + 1)
          const after = yield* now
          longest = Math.max(longest, after - time)
          for (const [id, { at: changedAt, kind }] of pending) {
            if (!mirror.touched.has(id)) continue
            pending.delete(id)
            seen.set(kind, [...(seen.get(kind) ?? []), after - changedAt])
          }
        }
        const unseen = Map.groupBy(pending.values(), ({ kind }) => kind)
        return { polled: counted.take(), seen, unseen, longest }
      })

    return { synced, bot: yield* day(session), user: yield* day(yield* open(server.userToken)) }
  })

  return clock.run(
    program.pipe(
      Effect.scoped,
      Effect.provide(Quotas.layerMemory),
      Effect.provideService(Clock.Clock, clock),
      Effect.provideService(References.MinimumLogLevel, "Error")
    )
  )
}

const total = (calls: Readonly<Record<string, number>>) => Object.values(calls).reduce((sum, count) => sum + count, 0)

const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

type Day = Awaited<ReturnType<typeof simulate>>["bot"]

/** Returns the rows for a day of polling. */
const polling = (what: string, { longest, polled, seen, unseen }: Day): ReadonlyArray<Row> => [
  { what, value: total(polled.calls), unit: "calls" },
  ...Object.entries(polled.calls).map(([method, value]) => ({ what: `  ${method}`, value, unit: "calls" })),
  { what: "  beyond Slack's own limits", value: polled.beyond, unit: "calls" },
  { what: "  the longest poll", value: longest / seconds.minute, unit: "minutes" },
  ...[...new Set([...seen.keys(), ...unseen.keys()])].flatMap((kind) => [
    {
      what: `  ${kind}: ${seen.get(kind)?.length ?? 0} seen, ${unseen.get(kind)?.length ?? 0} not yet; half of them within`,
      value: percentile(seen.get(kind) ?? [], 0.5) / seconds.minute,
      unit: "minutes"
    },
    { what: "    and nine in ten", value: percentile(seen.get(kind) ?? [], 0.9) / seconds.minute, unit: "minutes" }
  ])
]

/** Returns the rows for a workspace of this size. */
export const run = (size: Size) =>
  Effect.gen(function* () {
    const { bot, synced, user } = yield* Effect.promise(() => simulate(size))
    const calls = total(synced.calls)
    const count = (value: number) => value.toLocaleString("en")
    // One call for each thread, and one for each 999 parents of a conversation.
    const pages = size.channels * Math.max(1, Math.ceil((size.messages - size.threads) / size.channels / 999))
    const floorCalls = size.threads + pages
    // The two methods have separate limits, so that calls of one do not wait for the other.
    const floorHours = size.threads / (limits["conversations.replies"] ?? 1) / 60
    return [
      {
        what: `Slack, ${count(size.channels)} channels, ${count(size.messages)} messages, ${count(size.threads)} threads: first sync`,
        value: calls,
        unit: "calls",
        ratio: calls / floorCalls,
        goal: { atMost: 1.1 }
      },
      { what: "  the floor: a call a thread, and one a page of history", value: floorCalls, unit: "calls" },
      ...Object.entries(synced.calls).map(([method, value]) => ({ what: `  ${method}`, value, unit: "calls" })),
      { what: "  stored", value: synced.rows, unit: "items" },
      { what: "  the floor: one call a thread at 50 a minute", value: floorHours, unit: "hours" },
      {
        what: "  on the clock",
        value: synced.seconds / seconds.hour,
        unit: "hours",
        ratio: synced.seconds / seconds.hour / floorHours
      },
      { what: "  beyond Slack's own limits", value: synced.beyond, unit: "calls" },
      ...polling(`a day of polling, ${size.polls} polls`, bot),
      ...polling(`another one with a user's token, which may search`, user)
    ] satisfies ReadonlyArray<Row>
  })
