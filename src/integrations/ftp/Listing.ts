/**
 * Lists a file server: one pass through all folders, page by page. Files to download are chosen by their revisions or
 * by their contents (`comparesRevisions`, see `Ftp.ts`).
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Ref } from "../../contract/Content.ts"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Coverage, Page } from "../../contract/Page.ts"
import type { Parts } from "../../contract/Parts.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import type { Config } from "./Config.ts"
import * as EmptyFolders from "./EmptyFolders.ts"
import { isInWindow } from "./FileTimes.ts"
import * as Globs from "./Globs.ts"
import * as Remote from "./Remote.ts"
import * as Walk from "./Walk.ts"

/**
 * `pass` numbers the passes through the folders; without a position the pass is complete. `connections` is the number
 * that the server allows, if it has refused more. `verified` is when a pass last compared contents, and `verifying`
 * whether this one does.
 */
export const Checkpoint = Schema.Struct({
  pass: Schema.Int,
  position: Schema.NullOr(Walk.Position),
  connections: Schema.optionalKey(Schema.Int),
  verified: Schema.optionalKey(Schema.Int),
  verifying: Schema.optionalKey(Schema.Boolean)
})
export type Checkpoint = typeof Checkpoint.Type

/**
 * Returns the coverage: everything except paths that could not be read. Empty if the root could not be read, or there
 * are too many such paths.
 */
const covered = (unread: ReadonlyArray<string> | null): ReadonlyArray<Coverage> =>
  unread === null || unread.includes("") ? [] : [{ prefix: "", except: unread }]

interface Options {
  readonly config: Config
  readonly remote: Remote.Remote
  /** True if files are compared by size and time, false if by content. */
  readonly comparesRevisions: Effect.Effect<boolean, IntegrationError>
  /** Called for each file that is about to be downloaded. */
  readonly remember: (file: Walk.Found, listedAt: number) => void
}

export const make = ({ comparesRevisions, config, remember, remote }: Options) => {
  const globs = Globs.make(config.include ?? [], config.exclude ?? [])
  const verifyMillis =
    config.verifyEvery === null ? Number.POSITIVE_INFINITY : Duration.toMillis(config.verifyEvery ?? "30 days")

  /**
   * Completes a file's size and time with MDTM, one call a file, because LIST has no exact times. Files that were
   * deleted meanwhile are left out.
   */
  const complete = (file: Walk.Found): Effect.Effect<ReadonlyArray<Walk.Found>, IntegrationError> =>
    file.modified !== undefined && file.size !== undefined
      ? Effect.succeed([file])
      : remote.stat(file.path, file).pipe(
          Effect.map((stat): ReadonlyArray<Walk.Found> => [{ ...stat, path: file.path }]),
          Effect.catchIf(
            ({ reason }) => reason._tag === "Forbidden" || reason._tag === "Malformed",
            () => Effect.succeed([file])
          ),
          Effect.catchReason("IntegrationError", "Gone", () => Effect.succeed([]))
        )

  const list = Effect.fnUntraced(function* (
    task: SyncTask.SyncTask,
    checkpoint: Option.Option<Checkpoint>,
    parts: Parts<EmptyFolders.Part>
  ) {
    if (SyncTask.idsOnly(task)) return Stream.empty
    const previous = Option.getOrUndefined(checkpoint)
    const resumed = previous?.position ?? undefined
    const now = yield* Clock.currentTimeMillis
    const pass = previous === undefined ? now : resumed === undefined ? Math.max(now, previous.pass + 1) : previous.pass
    if (previous?.connections !== undefined) {
      yield* remote.size.restore(previous.connections, resumed === undefined)
    }
    const byRevision = yield* comparesRevisions
    // If the clock of an earlier poll was ahead, a future time would delay the next comparison.
    const lastVerified = Math.min(previous?.verified ?? now, now)
    const isVerifying = resumed === undefined ? now - lastVerified >= verifyMillis : previous?.verifying === true
    /** Returns a checkpoint with what is known of the server now. */
    const checkpointAt = (position: Walk.Position | null): Checkpoint => {
      const connections = remote.size.allowed()
      const hasCompared = position === null && (isVerifying || !byRevision)
      return {
        pass,
        position,
        verified: hasCompared ? now : lastVerified,
        ...(isVerifying && position !== null ? { verifying: true } : {}),
        ...(connections === undefined ? {} : { connections })
      }
    }
    const needsTimes = task.window !== undefined || (byRevision && !task.force)
    const isLive = SyncTask.isLive(task)

    const page = Effect.fnUntraced(function* (step: Walk.Step) {
      const completed = needsTimes
        ? (yield* Effect.forEach(step.files, complete, { concurrency: config.connections ?? 4 })).flat()
        : step.files
      const files = completed.filter(({ modified }) => isInWindow(task.window, modified))
      const listed = files.map((file): Ref => ({ externalId: file.path, revision: Remote.revisionOf(file) }))
      const chosen =
        byRevision && !isVerifying
          ? yield* ContentExistenceChecker.selectNew(
              task,
              listed.filter(({ revision }) => revision !== undefined),
              { by: "revision" }
            )
          : listed
      const ids = new Set(chosen.map(({ externalId }) => externalId))
      const download = listed.filter(({ externalId, revision }) => revision === undefined || ids.has(externalId))
      const toDownload = new Set(download.map(({ externalId }) => externalId))
      const listedAt = yield* Clock.currentTimeMillis
      for (const file of files) if (toDownload.has(file.path)) remember(file, listedAt)
      const isLast = step.position === undefined
      return {
        listed,
        download,
        problems: step.problems,
        // Only the live task lists everything in turn. Marks of another task's pass would mix with those of its own.
        ...(isLive ? { listing: `pass ${pass}`, ...(isLast ? { covers: covered(step.unread) } : {}) } : {}),
        checkpoint: checkpointAt(step.position ?? null),
        parts: step.parts
      } satisfies Page<Checkpoint, EmptyFolders.Part>
    })

    return Walk.walk(
      {
        ...globs,
        list: remote.list,
        // Only the live task deletes absent files.
        confirm: (folders) =>
          isLive ? EmptyFolders.check(parts, pass, folders) : Effect.succeed({ unconfirmed: [], parts: [] }),
        maxDepth: config.maxDepth ?? 32,
        maxEntries: config.maxEntries ?? 5_000_000
      },
      resumed
    ).pipe(
      Stream.mapEffect(page),
      // The last page's files are downloaded after its checkpoint was made, so one more page stores what the downloads
      // showed about the server.
      Stream.concat(
        Stream.suspend(() =>
          remote.size.allowed() === previous?.connections
            ? Stream.empty
            : Stream.succeed<Page<Checkpoint, EmptyFolders.Part>>({
                listed: [],
                download: [],
                ...(isLive ? { listing: `pass ${pass}` } : {}),
                checkpoint: checkpointAt(null)
              })
        )
      )
    )
  })

  return (task: SyncTask.SyncTask, checkpoint: Option.Option<Checkpoint>, parts: Parts<EmptyFolders.Part>) =>
    Stream.unwrap(list(task, checkpoint, parts))
}
