/** `idem doctor`: checks Idem's requirements, and explains what a person has to do. */
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { pausedByPerson } from "../engine/model/Connection.ts"
import { credentialsContext, Vault } from "../engine/secrets/Vault.ts"
import { ConnectionStore } from "../engine/store/ConnectionStore.ts"
import type { Status } from "../http/connections/ConnectionDocuments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output, type Style } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import { nextStep, statuses } from "./Status.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

/** `problem`: a person has to act, as `next` explains. `note`: for information; no action is needed. */
interface Check {
  readonly check: string
  readonly connection: string | null
  readonly status: "ok" | "note" | "problem"
  readonly message: string
  readonly next: string | null
}

const check = (name: string, connection: string | null = null) => ({
  ok: (message: string): Check => ({ check: name, connection, status: "ok", message, next: null }),
  note: (message: string): Check => ({ check: name, connection, status: "note", message, next: null }),
  problem: (message: string, next: string): Check => ({ check: name, connection, status: "problem", message, next })
})

/** The engine and OAuth compare times of this machine with those of the database and of providers. */
const skewAllowed = Duration.seconds(5)

/** With less free space than this, the next large sync may fill the disk. */
const leastFree = 1024 ** 3

/** The feed waits for transactions; one that is open for this long was probably abandoned. */
const longestTransaction = Duration.minutes(10)

const databaseChecks = Effect.gen(function* () {
  const services = yield* AppServices.AppServices
  const found = yield* Effect.result(services.inspect)
  if (Result.isFailure(found)) {
    return [check("database").problem(found.failure.message, "start the database, or correct DATABASE_URL")]
  }
  const { clockSkewMs, database, feedHolder, freeBytes, schema } = found.success
  const skew = Duration.millis(Math.abs(clockSkewMs))
  const old = Duration.seconds(feedHolder?.seconds ?? 0)
  const versions = `version ${schema.found}`
  return [
    check("database").ok(`${database} answers`),
    schema.found === schema.supported || schema.found === 0
      ? check("schema").ok(schema.found === 0 ? "empty: the first command sets it up" : versions)
      : schema.found < schema.supported
        ? check("schema").problem(`${versions}; this Idem needs ${schema.supported}`, "idem migrate")
        : check("schema").problem(`${versions} was made by a newer Idem than this one`, "update this Idem"),
    Duration.isGreaterThan(skew, skewAllowed)
      ? check("clock").problem(
          `this machine's clock is ${TextFormat.about(skew)} ${clockSkewMs > 0 ? "behind" : "ahead of"} the database's`,
          "set both clocks by NTP"
        )
      : check("clock").ok("agrees with the database's"),
    freeBytes === null
      ? check("disk").ok("not checked: your own PostgreSQL keeps the data")
      : freeBytes < leastFree
        ? check("disk").problem(`${TextFormat.bytes(freeBytes)} free`, "free some space, or move IDEM_DATA_DIR")
        : check("disk").ok(`${TextFormat.bytes(freeBytes)} free`),
    feedHolder !== null && Duration.isGreaterThan(old, longestTransaction)
      ? check("feed").problem(
          `${TextFormat.feedHolder(feedHolder)} has been open for ${TextFormat.about(old)}: changes after it are not reported`,
          feedHolder.process === null
            ? "commit or roll back the prepared transaction"
            : `end its session: SELECT pg_terminate_backend(${feedHolder.process})`
        )
      : check("feed").ok("reports changes up to now")
  ]
})

/** Large bodies are checked separately: if their place can't be opened, nothing else of the database can. */
const blobChecks = Effect.gen(function* () {
  const services = yield* AppServices.AppServices
  const found = yield* Effect.result(services.inspectBlobs)
  return Result.isSuccess(found)
    ? [check("bodies").ok(`large ones: ${found.success}`)]
    : [check("bodies").problem(found.failure.message, "correct IDEM_BLOB_DIR, IDEM_BLOB_URL or their credentials")]
})

const keyChecks = Effect.gen(function* () {
  const vault = yield* Vault
  const keys = yield* Effect.result(vault.keys)
  if (Result.isFailure(keys)) return [check("key").problem(keys.failure.message, "set IDEM_SECRET_KEY")]
  const connections = yield* (yield* ConnectionStore).connections
  const sealed = connections.filter(({ credentials }) => credentials !== null)
  const locked = yield* Effect.filter(sealed, (connection) =>
    Effect.isFailure(vault.unseal(connection.credentials ?? new Uint8Array(), credentialsContext(connection)))
  )
  return locked.length === 0
    ? [
        check("key").ok(
          sealed.length === 0 ? "is set" : `opens the credentials of ${TextFormat.many(sealed.length, "connection")}`
        )
      ]
    : locked.map(({ domain, name }) =>
        check("key", name).problem(
          "the credentials are sealed with another key",
          `set IDEM_SECRET_KEY_OLD to that key, or: idem connect ${domain} --name ${TextFormat.shellWord(name)} --credentials @FILE`
        )
      )
})

/** A source that was not polled for this number of intervals is probably not polled by any process. */
const missedPolls = 5

/** Failures that pass without a person: the source or the database can't be reached, or another process was faster. */
const passing = new Set([
  "Transient",
  "RateLimited",
  "StoreError",
  "ContentExistenceCheckerError",
  "Superseded",
  "Stalled"
])

/** Failures of the program, which no further run can fix. */
const faults = new Set(["Defect", "CountsDontAddUp"])

/** After this number of failed runs with another reason, a person is told. */
const failuresAllowed = 2

/** Checks whether a connection is polled successfully, and when it last was. */
const successCheck = (status: Status, now: DateTime.Utc): Check => {
  const { failures, lastCheckedAt, lastRun, name } = status
  const of = check("success", name)
  const word = TextFormat.shellWord(name)
  if (failures > 0) {
    const reason = lastRun?.error?.reason ?? ""
    const runs = failures === 1 ? "the last run failed" : `the last ${failures} runs failed`
    const message = `${runs} (${TextFormat.short(lastRun?.error?.message ?? "unknown", 300)})`
    const debug = `idem sync ${word} --log-level debug`
    if (faults.has(reason)) return of.problem(message, `fix the integration; this shows its stack: ${debug}`)
    return failures > failuresAllowed && !passing.has(reason)
      ? of.problem(message, debug)
      : of.note(`${message}; Idem tries again by itself`)
  }
  const every = Duration.max(Duration.fromInputUnsafe(status.every as Duration.Input), Duration.minutes(2))
  const since = DateTime.distance(lastCheckedAt ?? status.createdAt, now)
  if (Duration.isGreaterThan(since, Duration.times(every, missedPolls))) {
    return of.problem(
      lastCheckedAt === null
        ? "never checked"
        : `last checked ${TextFormat.moment(lastCheckedAt, now)}, though due every ${status.every}`,
      `keep \`idem serve\` running, or: idem sync ${word}`
    )
  }
  return of.ok(lastCheckedAt === null ? "not checked yet" : `last checked ${TextFormat.moment(lastCheckedAt, now)}`)
}

const connectionChecks = (status: Status, now: DateTime.Utc): ReadonlyArray<Check> => {
  const { lastRun, name, totals } = status
  const of = (what: string) => check(what, name)
  const word = TextFormat.shellWord(name)
  const error = lastRun?.error ?? null
  if (status.state === "disconnected") return [of("credentials").note("disconnected; what was stored can be read")]
  return [
    status.paused === null || status.paused === pausedByPerson
      ? of("credentials").ok(status.paused === null ? "accepted" : "paused by a person")
      : of("credentials").problem(
          `paused: ${TextFormat.short(status.paused, 300)}`,
          error?.reason === "Unauthorized" || error?.reason === "Vault" ? nextStep(status) : `idem resume ${word}`
        ),
    ...(status.paused === null ? [successCheck(status, now)] : []),
    status.askedToWaitUntil === null
      ? of("quota").ok("not waiting")
      : of("quota").note(`the source asked to wait until ${TextFormat.upcoming(status.askedToWaitUntil, now)}`),
    ...(status.problems.length === 0
      ? []
      : [
          of("places").problem(
            `${TextFormat.many(status.problems.length, "problem")}, one at ${TextFormat.quoted(status.problems[0]?.place ?? "")}: ${TextFormat.short(status.problems[0]?.message ?? "", 200)}`,
            status.problems.length === 1
              ? "give the account access at the source, or exclude it in the config; the next poll tries again"
              : `idem status ${word}`
          )
        ]),
    ...(totals.dead === 0
      ? []
      : [of("ledger").problem(`${TextFormat.many(totals.dead, "item")} given up`, `idem failures ${word}`)]),
    ...(totals.deletionsHeld === 0
      ? []
      : [
          of("deletions").problem(
            `${TextFormat.many(totals.deletionsHeld, "deletion")} held back for your approval`,
            `idem deletions ${word}`
          )
        ])
  ]
}

const text = (checks: ReadonlyArray<Check>, style: Style): string => {
  const marks = { ok: style.good("ok     "), note: style.warn("note   "), problem: style.bad("problem") }
  return checks
    .flatMap(({ check: name, connection, message, next, status }) => [
      `${marks[status]}  ${connection === null ? name : `${TextFormat.oneLine(connection)}: ${name}`}: ${TextFormat.oneLine(message)}`,
      ...(next === null ? [] : [`         → ${TextFormat.oneLine(next)}`])
    ])
    .join("\n")
}

const encode = Schema.encodeSync(Schema.Array(Schema.Record(Schema.String, Schema.NullOr(Schema.String))))

export const doctor = Command.make(
  "doctor",
  {},
  Effect.fn("doctor")(function* () {
    const output = yield* Output
    const isRemote = yield* RemoteServer.isNamed
    yield* AppServices.domains
    const here = isRemote
      ? [check("database").ok("belongs to the server: run idem doctor there too")]
      : yield* databaseChecks
    const isBroken = (checks: ReadonlyArray<Check>) =>
      checks.some((each) => ["database", "schema", "bodies"].includes(each.check) && each.status === "problem")
    const isEmpty = here.some((each) => each.check === "schema" && each.message.startsWith("empty"))
    const bodies = isRemote || isEmpty || isBroken(here) ? [] : yield* blobChecks
    const isUsable = !isBroken([...here, ...bodies])
    const key = isRemote || !isUsable ? [] : yield* AppServices.provide(keyChecks)
    const now = yield* DateTime.now
    const connections = isUsable
      ? (yield* AppServices.ask(statuses)).flatMap((status) => connectionChecks(status, now))
      : []
    const checks = [...here, ...bodies, ...key, ...connections]
    const problems = checks.filter(({ status }) => status === "problem").length
    yield* output.answer(
      { healthy: problems === 0, checks: encode(checks.map((each) => ({ ...each }))) },
      () =>
        `${text(checks, output.style)}\n${problems === 0 ? "nothing needs you" : `${TextFormat.many(problems, "problem")} need${problems === 1 ? "s" : ""} you`}`
    )
    if (problems > 0) return yield* new CommandFailure.Ended({ code: CommandFailure.exitCode.failed })
  })
).pipe(Command.withDescription("Check the database, the key and each connection, and say what to do"))
