/** `idem sync` and `idem retry`: one task, now. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SyncTask } from "../contract/SyncTask.ts"
import { Control } from "../engine/Control.ts"
import * as RunCounts from "../engine/model/RunCounts.ts"
import * as Documents from "../engine/Documents.ts"
import type { Progress as EngineProgress, SyncResult } from "../engine/Engine.ts"
import type { Counts } from "../engine/model/RunCounts.ts"
import * as Failure from "./Failure.ts"
import * as Input from "./Input.ts"
import { Output, type Style } from "./Output.ts"
import * as Progress from "./Progress.ts"
import * as Server from "./Server.ts"
import * as Services from "./Services.ts"
import * as Text from "./Text.ts"
import * as Time from "./Time.ts"

const flag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withoutNegation, Flag.withDefault(false))

/**
 * The flags that make the task, as a person would write them, in one order: an unfinished task is found again by them,
 * and `idem status` shows them as the command that goes on with it.
 */
const specOf = (input: {
  readonly force: boolean
  readonly forceIds: ReadonlyArray<string>
  readonly since: string | undefined
  readonly until: string | undefined
}): string =>
  [
    ...(input.force ? ["--force"] : []),
    ...input.forceIds.map((id) => `--force-id=${Text.shellWord(id)}`),
    ...(input.since === undefined ? [] : [`--since ${Text.shellWord(input.since)}`]),
    ...(input.until === undefined ? [] : [`--until ${Text.shellWord(input.until)}`])
  ].join(" ")

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

const summary = (result: SyncResult, style: Style): string => {
  const { counts, planned } = result
  const name = Text.shellWord(result.connection)
  const colours = {
    succeeded: style.good,
    planned: style.good,
    partial: style.warn,
    skipped: style.warn,
    failed: style.bad
  }
  const colour = colours[result.status]
  const said = outcomes.filter(([key]) => counts[key] > 0).map(([key, word]) => `${Text.count(counts[key])} ${word}`)
  const effort = [
    `${Text.count(counts.listed)} listed`,
    Text.many(counts.downloads, "download"),
    Text.many(counts.apiCalls, "API call"),
    Text.many(counts.quotaUnits, "unit")
  ].join(", ")
  return [
    `${style.bold(Text.oneLine(result.connection))} ${colour(result.status)} in ${Text.about(Duration.millis(result.durationMs))}`,
    ...(planned === null
      ? [`  ${said.length === 0 ? "nothing to do" : said.join(", ")}`]
      : [
          `  would download ${Text.count(planned.download)}, delete ${Text.count(planned.delete)}, patch ${Text.count(planned.patch)}; nothing was written`
        ]),
    `  ${style.dim(effort)}`,
    ...result.notes.map((note) => `  ${Text.oneLine(note)}`),
    ...result.problems.map(({ place, message }) => `  ${style.warn(Text.oneLine(place))}: ${Text.oneLine(message)}`),
    ...(counts.failed > 0 ? [`  what failed, and why: idem failures ${name}`] : []),
    ...(counts.deletionsHeld > 0
      ? [`  ${Text.many(counts.deletionsHeld, "deletion")} held back for you: idem deletions ${name}`]
      : [])
  ].join("\n")
}

const encode = Schema.encodeSync(Documents.Synced)

/** Says how it went, and ends with the exit code of its status. */
const report = Effect.fnUntraced(function* (result: SyncResult) {
  const output = yield* Output
  const document = encode(Documents.synced(result))
  if (result.status === "failed") {
    // What was done before it failed stays done.
    if (!output.json && result.counts.listed + result.counts.downloads > 0) {
      yield* output.answer(document, () => summary(result, output.style))
    }
    const { reason, message } = result.error ?? { reason: "Failed", message: "the sync failed" }
    return yield* new Failure.Failure({
      reason,
      message: `${result.connection}: ${message}`,
      code: Failure.exitCode.failed,
      document
    })
  }
  if (result.status === "skipped" && !output.json) {
    return yield* new Failure.Failure({
      reason: "Skipped",
      message: `${result.connection}: ${result.error?.message ?? "another run holds it"}; nothing was done`,
      code: Failure.exitCode.skipped
    })
  }
  yield* output.answer(document, () => summary(result, output.style))
  if (result.status === "partial") return yield* new Failure.Ended({ code: Failure.exitCode.partial })
  if (result.status === "skipped") return yield* new Failure.Ended({ code: Failure.exitCode.skipped })
})

/** A failure says so in the document of a sync, unless wrong usage kept the sync from beginning. */
const asSync =
  (name: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.mapError(work, (error) => {
      if (error instanceof Failure.Ended || error instanceof Failure.OutputClosed) return error
      const failure = Failure.fromError(error)
      return failure.document !== undefined || failure.code === Failure.exitCode.usage
        ? failure
        : new Failure.Failure({
            reason: failure.reason,
            message: failure.message,
            code: failure.code,
            document: encode(
              Documents.synced({
                connection: name,
                run: null,
                task: null,
                status: "failed",
                counts: RunCounts.zero,
                durationMs: 0,
                error: { reason: failure.reason, message: failure.message },
                notes: [],
                problems: [],
                planned: null
              })
            )
          })
    })

const sayInterrupted = (name: string, isRemote: boolean) =>
  Effect.onInterrupt(() =>
    Output.use((output) =>
      output.note(
        isRemote
          ? `idem: ${Text.oneLine(name)}: no longer watching; the server goes on with what it was given: idem status ${Text.shellWord(name)}`
          : `idem: ${Text.oneLine(name)}: interrupted; what is whole was kept, the same command goes on from there`
      )
    )
  )

/** A command that opens sources here is told of a broken `idem.config.ts` before anything is started. */
const opensHere = Effect.gen(function* () {
  const isRemote = yield* Server.isNamed
  if (!isRemote) yield* Services.domains
  return isRemote
})

export const sync = Command.make(
  "sync",
  {
    connection: Input.connection,
    force: flag("force", "download all that is listed again, stored or not"),
    forceIds: Input.forceIds,
    since: Input.time(
      "since",
      'only from this time on (inclusive): ISO 8601 with offset, a date (UTC), or like "7 days" (ago)'
    ),
    until: Input.time("until", "only before this time (exclusive)"),
    dryRun: flag("dry-run", "say what would be done, and write nothing"),
    noWait: flag("no-wait", "don't wait for another run of this connection: exit code 4")
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
    yield* Effect.scoped(
      Effect.gen(function* () {
        const control = yield* Control
        const onProgress: ((progress: EngineProgress) => Effect.Effect<void>) | undefined = output.animate
          ? yield* Progress.make(name)
          : undefined
        if (task.dryRun) return yield* control.plan(name, task, onProgress)
        return yield* control.sync(name, task, {
          spec: specOf({ force: input.force, forceIds, since: since?.text, until: until?.text }),
          wait: !input.noWait,
          onWait: (holder) =>
            output.note(
              `${Text.oneLine(name)} is being run by ${Text.oneLine(holder)}; waiting for it to end (--no-wait would not)`
            ),
          onTrouble: (message) =>
            output.note(
              `${Text.oneLine(name)}: ${Text.oneLine(message)}; the server tries again in a moment (Ctrl-C leaves that to it)`
            ),
          ...(onProgress === undefined ? {} : { onProgress })
        })
      })
    ).pipe(sayInterrupted(name, isRemote), Services.askAbout, Effect.flatMap(report), asSync(name))
  })
).pipe(
  Command.withDescription("Run one task now"),
  Command.withExamples([
    { command: "idem sync work", description: "What is new, and the rest of what is still missing" },
    { command: 'idem sync work --since "7 days" --force', description: "The last week again" },
    { command: "idem sync work --force-id 18c2f0a1b2c3d4e5", description: "One message again" }
  ])
)

/** Those of the ids that are not in the ledger. */
const notFailed = Effect.fnUntraced(function* (control: Control["Service"], name: string, ids: ReadonlyArray<string>) {
  return yield* Effect.filter(
    ids,
    (id) =>
      control.content(name, id).pipe(
        Effect.map(({ failure }) => failure === null),
        Effect.catchIf(
          (error) => error._tag === "NotFound" && error.what === "content",
          () => Effect.succeed(true)
        )
      ),
    { concurrency: 8 }
  )
})

/** Names those of the ids that are not in the ledger, where that is what is wrong. */
const retried = Effect.fnUntraced(function* (name: string, ids: ReadonlyArray<string>) {
  const control = yield* Control
  const result = yield* Effect.result(control.retry(name, ids.length === 0 ? undefined : ids))
  if (Result.isSuccess(result)) return result.success
  const error = result.failure
  const unknown =
    error._tag === "UsageError" || (error._tag === "NotFound" && error.what === "id")
      ? yield* notFailed(control, name, ids)
      : []
  if (unknown.length === 0) return yield* error
  const shown = unknown.slice(0, 3).map(Text.quoted).join(", ")
  const more = unknown.length > 3 ? ` and ${unknown.length - 3} more` : ""
  return yield* Failure.failed(
    "UnknownId",
    `${shown}${more}: not among the failures of ${Text.quoted(name)}; see: idem failures ${Text.shellWord(name)}`
  )
})

export const retry = Command.make(
  "retry",
  { connection: Input.connection, ids: Input.externalId.pipe(Argument.variadic()) },
  Effect.fnUntraced(function* (input) {
    const name = input.connection
    const ids = [...new Set(input.ids)]
    const isRemote = yield* opensHere
    yield* retried(name, ids).pipe(
      sayInterrupted(name, isRemote),
      Services.askAbout,
      Effect.flatMap(report),
      asSync(name)
    )
  })
).pipe(Command.withDescription("Try what failed again, now"))
