/** `idem sync` and `idem retry`: run one task now. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SyncTask } from "../contract/SyncTask.ts"
import { afterSync } from "../derive/Deriver.ts"
import * as Documents from "../http/tasks/TaskDocuments.ts"
import { specOf } from "../http/tasks/TaskSpec.ts"
import { Engine, type Progress as EngineProgress } from "../engine/Engine.ts"
import * as ProgressEstimate from "../engine/model/ProgressEstimate.ts"
import * as RunCounts from "../engine/model/RunCounts.ts"
import type { Counts } from "../engine/model/RunCounts.ts"
import * as ConnectionLookup from "../http/connections/ConnectionLookup.ts"
import { ConnectionStore } from "../engine/store/ConnectionStore.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Arguments from "./Arguments.ts"
import { Output, type Style } from "./Output.ts"
import * as Progress from "./Progress.ts"
import * as RemoteServer from "./RemoteServer.ts"
import * as AppServices from "./AppServices.ts"
import * as TaskWatcher from "./TaskWatcher.ts"
import * as TextFormat from "./TextFormat.ts"
import * as Time from "./Time.ts"

const outcomes: ReadonlyArray<readonly [keyof Counts, string]> = [
  ["stored", "stored"],
  ["updated", "updated"],
  ["unchanged", "unchanged"],
  ["existing", "there already"],
  ["failed", "failed"],
  ["deferred", "deferred"],
  ["gone", "gone"],
  ["patched", "patched"],
  ["deleted", "deleted"]
]

const summary = (result: Documents.Synced, style: Style): string => {
  const { notes = [], planned, problems = [] } = result
  const name = TextFormat.shellWord(result.connection)
  const colours = {
    succeeded: style.good,
    planned: style.good,
    partial: style.warn,
    skipped: style.warn,
    failed: style.bad
  }
  const colour = colours[result.status]
  const said = outcomes
    .filter(([key]) => result[key] > 0)
    .map(([key, word]) => `${TextFormat.count(result[key])} ${word}`)
  const effort = [
    `${TextFormat.count(result.listed)} listed`,
    TextFormat.many(result.downloads, "download"),
    TextFormat.many(result.apiCalls, "API call"),
    TextFormat.many(result.quotaUnits, "unit")
  ].join(", ")
  return [
    `${style.bold(TextFormat.oneLine(result.connection))} ${colour(result.status)} in ${TextFormat.about(Duration.millis(result.durationMs))}`,
    ...(planned === undefined
      ? [`  ${said.length === 0 ? "nothing to do" : said.join(", ")}`]
      : [
          `  would download ${TextFormat.count(planned.download)}, delete ${TextFormat.count(planned.delete)}, patch ${TextFormat.count(planned.patch)}; nothing was written`,
          ...(planned.held > 0
            ? [`  ${TextFormat.many(planned.held, "deletion")} would be held back for your approval, and none applied`]
            : [])
        ]),
    `  ${style.dim(effort)}`,
    ...notes.map((note) => `  ${TextFormat.oneLine(note)}`),
    ...problems.map(
      ({ place, message }) => `  ${style.warn(TextFormat.oneLine(place))}: ${TextFormat.oneLine(message)}`
    ),
    ...(result.failed > 0 ? [`  what failed, and why: idem failures ${name}`] : []),
    ...(result.deletionsHeld > 0
      ? [`  ${TextFormat.many(result.deletionsHeld, "deletion")} held back for your approval: idem deletions ${name}`]
      : [])
  ].join("\n")
}

const encode = Schema.encodeSync(Documents.Synced)

/** Prints the result, and ends with the exit code of its status. */
const report = Effect.fnUntraced(function* (result: Documents.Synced) {
  const output = yield* Output
  const document = encode(result)
  if (result.status === "failed") {
    // The work before the failure has been committed, so it is printed too.
    if (!output.json && result.listed + result.downloads > 0) {
      yield* output.answer(document, () => summary(result, output.style))
    }
    const { reason, message } = result.error ?? { reason: "Failed", message: "the sync failed" }
    const status = `idem status ${TextFormat.shellWord(result.connection)}`
    const next = reason === "Unauthorized" ? `; the connection is paused: ${status} says what to do` : ""
    // The engine gives this reason for a key that is not set or malformed, before it begins a run.
    const isSetting = reason === "VaultError"
    return yield* new CommandFailure.Failure({
      reason,
      message: `${result.connection}: ${message}${next}`,
      code: isSetting ? CommandFailure.exitCode.usage : CommandFailure.exitCode.failed,
      document
    })
  }
  if (result.status === "skipped" && !output.json) {
    return yield* new CommandFailure.Failure({
      reason: "Skipped",
      message: `${result.connection}: ${result.error?.message ?? "another run holds it"}; nothing was done`,
      code: CommandFailure.exitCode.skipped
    })
  }
  yield* output.answer(document, () => summary(result, output.style))
  if (result.status === "partial") return yield* new CommandFailure.Ended({ code: CommandFailure.exitCode.partial })
  if (result.status === "skipped") return yield* new CommandFailure.Ended({ code: CommandFailure.exitCode.skipped })
})

/** Reports a failure as the document of a sync, unless it is wrong usage. */
const asSync =
  (name: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.mapError(work, (error) => {
      if (error instanceof CommandFailure.Ended || error instanceof CommandFailure.OutputClosed) return error
      const failure = CommandFailure.fromError(error)
      const isUsage = failure.code === CommandFailure.exitCode.usage && failure.reason !== "UnknownConnection"
      return failure.document !== undefined || isUsage
        ? failure
        : new CommandFailure.Failure({
            reason: failure.reason,
            message: failure.message,
            code: failure.code,
            document: encode({
              ...RunCounts.zero,
              connection: name,
              run: null,
              task: null,
              status: "failed",
              durationMs: 0,
              error: { reason: failure.reason, message: failure.message }
            })
          })
    })

const sayInterrupted = (name: string, isRemote: boolean) =>
  Effect.onInterrupt(() =>
    Output.use((output) =>
      output.note(
        isRemote
          ? `idem: ${TextFormat.oneLine(name)}: no longer watching; the server continues the task: idem status ${TextFormat.shellWord(name)}`
          : `idem: ${TextFormat.oneLine(name)}: interrupted; complete items were kept, and the same command continues from there`
      )
    )
  )

/** Reports a broken `idem.config.ts` before anything starts, for commands that open sources in this process. */
const opensHere = Effect.gen(function* () {
  const isRemote = yield* RemoteServer.isNamed
  if (!isRemote) yield* AppServices.domains
  return isRemote
})

/** Runs the task in this process, and shows its progress and the holder of the lease. Then derives what it stored. */
const syncHere = (name: string, task: SyncTask, options: Parameters<Engine["Service"]["sync"]>[2]) =>
  AppServices.provide(
    Effect.gen(function* () {
      const connection = yield* ConnectionLookup.find(yield* ConnectionStore, name)
      const result = Documents.synced(yield* (yield* Engine).sync(connection, task, options))
      if (task.dryRun !== true) yield* afterSync
      return result
    })
  )

const retryHere = (name: string, ids: ReadonlyArray<string>) =>
  AppServices.provide(
    Effect.gen(function* () {
      const connection = yield* ConnectionLookup.find(yield* ConnectionStore, name)
      const result = Documents.synced(yield* (yield* Engine).retry(connection, ids.length === 0 ? undefined : ids))
      yield* afterSync
      return result
    })
  )

const sizeOf = Effect.fnUntraced(
  function* (name: string, isEverythingAgain: boolean) {
    const { estimate, totals } = yield* (yield* ApiClient).connections.get({ params: { connection: name } })
    const known = { atConnect: estimate?.items, stored: totals.stored }
    return {
      items: ProgressEstimate.itemsOf(known, isEverythingAgain),
      millisPerItem: estimate?.millisPerItem ?? 0
    }
  },
  Effect.orElseSucceed(() => ({ items: undefined, millisPerItem: 0 }))
)

export const sync = Command.make(
  "sync",
  {
    connection: Arguments.connection,
    force: Arguments.flag("force", "download everything that is listed again, stored or not"),
    forceIds: Arguments.forceIds,
    since: Arguments.time(
      "since",
      'only from this time on (inclusive): ISO 8601 with offset, a date (UTC), or like "7 days" (ago)'
    ),
    until: Arguments.time("until", "only before this time (exclusive)"),
    dryRun: Arguments.flag("dry-run", "say what a sync would do, and write nothing"),
    noWait: Arguments.flag("no-wait", "don't wait for another run of this connection: end with exit code 4")
  },
  Effect.fnUntraced(function* (input) {
    const output = yield* Output
    const since = Option.getOrUndefined(input.since)
    const until = Option.getOrUndefined(input.until)
    const window = yield* Time.window(since?.time, until?.time)
    const forceIds = [...new Set(input.forceIds)].toSorted()
    const task: SyncTask = {
      force: input.force,
      forceIds,
      dryRun: input.dryRun,
      ...(window === undefined ? {} : { window })
    }
    const name = input.connection
    const isRemote = yield* opensHere
    const spec = specOf({ force: input.force, forceIds, since: since?.text, until: until?.text })
    const onWait = (holder: string) =>
      output.note(
        `${TextFormat.oneLine(name)} is being run by ${TextFormat.oneLine(holder)}; waiting for it to end (--no-wait skips instead)`
      )
    const onTrouble = (message: string) =>
      output.note(
        `${TextFormat.oneLine(name)}: ${TextFormat.oneLine(message)}; the server tries again in a moment (Ctrl-C only stops watching)`
      )
    const run = Effect.gen(function* () {
      const onProgress: (progress: EngineProgress) => Effect.Effect<void> = output.animate
        ? yield* Progress.make(
            name,
            Effect.provideContext(sizeOf(name, input.force && window === undefined), yield* Effect.context<ApiClient>())
          )
        : () => Effect.void
      const options = { spec, wait: !input.noWait, onWait, onTrouble, onProgress }
      return yield* isRemote ? TaskWatcher.sync(name, task, options) : syncHere(name, task, options)
    })
    yield* Effect.scoped(run).pipe(
      sayInterrupted(name, isRemote),
      AppServices.ask,
      Effect.flatMap(report),
      asSync(name)
    )
  })
).pipe(
  Command.withDescription("Run one task now"),
  Command.withExamples([
    { command: "idem sync work", description: "What is new, and the rest of the backfill" },
    { command: 'idem sync work --since "7 days" --force', description: "The last week again" },
    { command: "idem sync work --force-id 18c2f0a1b2c3d4e5", description: "One message again" }
  ])
)

/** Tells how to list the ids of the ledger, if an id that is not in it is the reason of the failure. */
const retried = Effect.fnUntraced(function* (name: string, ids: ReadonlyArray<string>, isRemote: boolean) {
  const result = yield* isRemote ? Effect.result(TaskWatcher.retry(name, ids)) : Effect.result(retryHere(name, ids))
  if (Result.isSuccess(result)) return result.success
  const error = result.failure
  if (!("notInLedger" in error)) return yield* Effect.fail(error)
  return yield* CommandFailure.failed("UnknownId", `${error.message}; see: idem failures ${TextFormat.shellWord(name)}`)
})

export const retry = Command.make(
  "retry",
  { connection: Arguments.connection, ids: Arguments.externalId.pipe(Argument.variadic()) },
  Effect.fnUntraced(function* (input) {
    const name = input.connection
    const ids = [...new Set(input.ids)]
    const isRemote = yield* opensHere
    yield* retried(name, ids, isRemote).pipe(
      sayInterrupted(name, isRemote),
      AppServices.ask,
      Effect.flatMap(report),
      asSync(name)
    )
  })
).pipe(Command.withDescription("Retry failed items now"))
