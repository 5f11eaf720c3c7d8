/**
 * A week of a large Gmail account in virtual time, with the whole engine over a store in memory: its first sync, and
 * polling on the remaining days. The provider enforces Google's limits itself, and refuses calls beyond them.
 *
 * Real mails have 75 kB on average. Here mails and byte limits are a hundred times smaller, so that the number of mails
 * that can be downloaded in a day is the same.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type { Integration } from "../../../src/contract/Integration.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import * as RunCounts from "../../../src/engine/model/RunCounts.ts"
import * as Lease from "../../../src/engine/locks/Lease.ts"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import { ConnectionStore } from "../../../src/engine/store/ConnectionStore.ts"
import * as LeasedSlice from "../../../src/engine/sync/LeasedSlice.ts"
import * as SyncEngine from "../../../src/engine/sync/SyncEngine.ts"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import type { Mailbox } from "../../support/gmail/Mailbox.ts"
import * as GmailRequests from "../../support/gmail/Requests.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import { VirtualClock } from "../../support/VirtualClock.ts"
import type { Row } from "../Table.ts"
import { progress } from "./Progress.ts"
import * as UnsealedVault from "../../../src/testing/UnsealedVault.ts"

const averageBytes = 75_000
const smaller = 100

/** Google's limits of an account: units a minute, and bytes in 24 hours. */
const unitsPerMinute = 6_000
const googlesBytesPerDay = 2_500_000_000

const minute = 60_000
const day = 24 * 60 * minute

/** Makes a mail whose size varies from a fifth of the average to twice the average. */
const mail = (index: number) => () => {
  const head = `From: ann@example.com\r\nSubject: Message ${index}\r\n\r\n`
  const size = Math.round((averageBytes / smaller) * (0.2 + (1.6 * ((index * 7919) % 1000)) / 1000))
  return Buffer.from(head.padEnd(size, "x"))
}

/** Returns the bytes of the mail in a response, whose last field is `raw`. */
const rawBytes = (answer: string): number => {
  const start = answer.indexOf('"raw":"')
  return start === -1 ? 0 : Math.floor((answer.length - start - 9) * 0.75)
}

/**
 * Enforces Google's limits: returns 429 for units beyond the minute's limit, or bytes beyond the limit of the last 24
 * hours.
 */
const provider = (now: () => number, bytesPerDay: number) => {
  const spent = { calls: 0, units: 0, bytes: 0, refused: 0, refusedForBytes: 0 }
  let window = { minute: -1, units: 0 }
  const downloads: Array<{ readonly at: number; readonly bytes: number }> = []
  let first = 0
  let inDay = 0
  const refuse = (seen: GmailRequests.Seen, answer: string) => {
    const units = GmailRequests.units[seen.method]
    const at = now()
    if (Math.floor(at / minute) !== window.minute) window = { minute: Math.floor(at / minute), units: 0 }
    for (let one = downloads[first]; one !== undefined && one.at <= at - day; one = downloads[++first])
      inDay -= one.bytes
    const bytes = seen.method === "messages.get" ? rawBytes(answer) : 0
    spent.calls += 1
    spent.units += units
    const isOverUnits = window.units + units > unitsPerMinute
    const isOverBytes = bytes > 0 && inDay >= bytesPerDay / smaller
    if (isOverUnits || isOverBytes) {
      spent.refused += 1
      spent.refusedForBytes += isOverBytes ? 1 : 0
      // For a limit of bytes, Google's message says when it ends (levz0r/gmail-tester#23).
      const until = isOverBytes ? ` Retry after ${new Date((downloads[first]?.at ?? at) + day).toISOString()}` : ""
      const message = `User-rate limit exceeded.${until}`
      return { _tag: "Status", status: 429, reason: "rateLimitExceeded", message } as const
    }
    window.units += units
    spent.bytes += bytes * smaller
    downloads.push({ at, bytes })
    inDay += bytes
    return undefined
  }
  return { spent, refuse }
}

/** Changes the mailbox as in a day, five minutes at a time: 100 new mails, 40 labels, 10 deletions. */
const live = (mailbox: Mailbox, from: number, index: number) => {
  const at = (count: number) => Math.floor(((index + 1) * count) / 288) - Math.floor((index * count) / 288)
  const ids = mailbox.newest(200)
  for (let one = 0; one < at(100); one++) mailbox.add({ raw: mail(from + index), internalDate: from + one })
  for (let one = 0; one < at(40); one++) mailbox.modify(ids[(index + one) % ids.length] ?? "", { add: ["STARRED"] })
  for (let one = 0; one < at(10); one++) mailbox.remove(ids[(index * 3 + one + 50) % ids.length] ?? "")
}

/** The same integration over a network without sockets. */
const over = (fetch: typeof globalThis.fetch): Integration => ({
  ...integration,
  open: (options) => integration.open({ ...options, network: { fetch, addressOf: Effect.succeed } })
})

const hours = (millis: number) => millis / 3_600_000

const simulate = (messages: number, bytesPerDay: number) => {
  const startAt = Date.UTC(2026, 0, 5)
  const clock = new VirtualClock(startAt)
  const { refuse, spent } = provider(clock.currentTimeMillisUnsafe, bytesPerDay)
  const server = new GmailServer.Server()
  const { mailbox } = server

  const program = Effect.gen(function* () {
    mailbox.fill(messages, (index) => ({ raw: mail(index), internalDate: startAt - (messages - index) * minute }))
    const engine = yield* Engine
    const connections = yield* ConnectionStore
    const { connection } = yield* engine.connect({
      domain: "gmail",
      name: "week",
      config: { quota: { bytesPerDay: bytesPerDay / smaller } },
      credentials: { accessToken: "token" },
      every: undefined
    })
    /** Runs a slice when it is due, like the scheduler. */
    const slice = Effect.gen(function* () {
      const { nextPollAt } = Option.getOrThrow(yield* connections.connection(connection.id))
      const wait = DateTime.toEpochMillis(nextPollAt) - (yield* Clock.currentTimeMillis)
      if (wait > 0) yield* Effect.sleep(Duration.millis(wait))
      const done = yield* LeasedSlice.turn(Lease.acquire(connection.id), () => Effect.succeed(LeasedSlice.poll))
      if (done._tag !== "Ran") return yield* Effect.die(new Error(`the connection was ${done._tag}`))
      return done.result
    })
    const since = Effect.map(Clock.currentTimeMillis, (at) => ({ at, ...spent }))

    const before = yield* since
    let counts = RunCounts.zero
    const report = progress("stored")
    while (true) {
      const { counts: more, error, next } = yield* slice
      if (error !== null) return yield* Effect.die(new Error(`${error.reason}: ${error.message}`))
      counts = RunCounts.sum(counts, more)
      report(counts.stored)
      if (next._tag === "Done") break
    }
    const stored = yield* since
    if (counts.stored !== messages) return yield* Effect.die(new Error(JSON.stringify(counts)))

    // A day of polling, with the day's changes.
    let seen = RunCounts.zero
    let polls = 0
    const reportPolls = progress("polls")
    for (let index = 0; (yield* Clock.currentTimeMillis) < stored.at + day; index++) {
      live(mailbox, stored.at, index)
      const { counts: more } = yield* slice
      seen = RunCounts.sum(seen, more)
      polls += 1
      reportPolls(polls)
    }
    const polled = yield* since
    return { before, stored, polled, counts, seen, polls }
  })

  const engine = Layer.provideMerge(
    SyncEngine.layer,
    Layer.mergeAll(
      Memory.layer,
      Quotas.layerMemory,
      UnsealedVault.layer,
      Integrations.layer({ gmail: Effect.succeed(over(server.fetchWith(refuse))) })
    )
  )
  return clock.run(
    program.pipe(
      Effect.scoped,
      Effect.provide(engine),
      Effect.provideService(Clock.Clock, clock),
      Effect.provideService(References.MinimumLogLevel, "Error")
    )
  )
}

/** Returns the rows for a mailbox of this many messages. With fewer bytes a day, a smaller mailbox also takes days. */
export const run = (messages: number, bytesPerDay = googlesBytesPerDay) =>
  Effect.gen(function* () {
    const { before, polled, polls, seen, stored } = yield* Effect.promise(() => simulate(messages, bytesPerDay))
    const [calls, units] = [stored.calls - before.calls, stored.units - before.units]
    // One call for each message, and one for each 500 ids.
    const floorCalls = messages + Math.ceil(messages / 500)
    const floorUnits = 20 * messages + 5 * Math.ceil(messages / 500)
    // The bytes of the last day do not have to wait for another day.
    const days = Math.floor((stored.bytes - before.bytes) / bytesPerDay)
    const rest = (stored.bytes - before.bytes - days * bytesPerDay) / averageBytes
    const floorHours = days * 24 + (rest * 20) / unitsPerMinute / 60
    const took = hours(stored.at - before.at)
    const [dayCalls, dayUnits] = [polled.calls - stored.calls, polled.units - stored.units]
    const floorDayUnits = polls * 2 + seen.stored * 20
    const name = `Gmail, ${messages.toLocaleString("en")} messages of ${averageBytes / 1000} kB`
    return [
      { what: `${name}: first sync`, value: calls, unit: "calls", ratio: calls / floorCalls },
      {
        what: "  the floor: 20 units a message, 5 for 500 ids",
        value: units,
        unit: "units",
        ratio: units / floorUnits,
        goal: { atMost: 1.01 }
      },
      { what: "  the floor by units alone", value: floorUnits / unitsPerMinute / 60, unit: "hours" },
      { what: `  the floor by ${bytesPerDay / 1_000_000} MB a day`, value: floorHours, unit: "hours" },
      { what: "  on the clock", value: took, unit: "hours", ratio: took / floorHours },
      { what: "  refused by Google's own count", value: stored.refused - before.refused, unit: "calls" },
      {
        what: `a day of ${polls} polls: ${seen.stored} new, ${seen.patched} labels, ${seen.deleted} deleted`,
        value: dayCalls,
        unit: "calls"
      },
      {
        what: "  the floor: 2 units a poll, 20 a new message",
        value: dayUnits,
        unit: "units",
        ratio: dayUnits / floorDayUnits
      },
      { what: "  refused by Google's own count", value: polled.refused - stored.refused, unit: "calls" }
    ] satisfies ReadonlyArray<Row>
  })
