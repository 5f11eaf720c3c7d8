/**
 * The one capability that an integration is given: ids in, the subset that already exists out, in one bulk query.
 *
 * Known means stored, failed, dead or deferred, or in flight in this very run; never gone or deleted: what comes back
 * is new. The engine scopes a checker to one connection.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Ref } from "./Content.ts"
import type { SyncTask } from "./SyncTask.ts"

/** The check could not be made. It fails the run: it is never read as "nothing exists". */
export class ContentExistenceCheckerError extends Schema.TaggedError<ContentExistenceCheckerError>()(
  "ContentExistenceCheckerError",
  { message: Schema.String, cause: Schema.Defect() }
) {}

export class ContentExistenceChecker extends Context.Service<
  ContentExistenceChecker,
  {
    /** The subset of these external ids that the connection already knows. One bulk query. */
    readonly existing: (
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlySet<string>, ContentExistenceCheckerError>
    /**
     * The same, with the revision last stored (or, in the ledger, last tried): for sources whose content changes under
     * one id. One bulk query.
     */
    readonly revisions: (
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Option.Option<string>>, ContentExistenceCheckerError>
  }
>()("idem/contract/ContentExistenceChecker") {
  /**
   * The refs of one listed page that are to be downloaded, each id once, in the page's order. The force rules stand
   * here and nowhere else:
   *
   * - `force` asks the checker nothing about what is stored: every ref is chosen;
   * - `forceIds` are chosen whether they exist or not;
   * - all else is filtered by one bulk query: `by` `"id"` (the default) leaves out what is known; `"revision"` also
   *   chooses what is known under another revision, where an absent one equals only an absent one.
   *
   * An empty page asks nothing.
   */
  static readonly selectNew = (
    task: SyncTask,
    refs: ReadonlyArray<Ref>,
    options?: { readonly by?: "id" | "revision" | undefined }
  ): Effect.Effect<ReadonlyArray<Ref>, ContentExistenceCheckerError, ContentExistenceChecker> => {
    const seen = new Set<string>()
    const once = refs.filter(({ externalId }) => !seen.has(externalId) && seen.add(externalId))
    if (task.force || once.length === 0) return Effect.succeed(once)
    const forced = new Set(task.forceIds)
    const ids = once.map((ref) => ref.externalId)
    return ContentExistenceChecker.use((checker) =>
      options?.by === "revision"
        ? Effect.map(checker.revisions(ids), (known) =>
            once.filter((ref) => {
              const revision = known.get(ref.externalId)
              return (
                forced.has(ref.externalId) || revision === undefined || Option.getOrUndefined(revision) !== ref.revision
              )
            })
          )
        : Effect.map(checker.existing(ids), (known) =>
            once.filter((ref) => forced.has(ref.externalId) || !known.has(ref.externalId))
          )
    )
  }

  /** A checker that knows just these ids, with their revisions where a map is given. */
  static readonly layerTest = (
    known: Iterable<string> | ReadonlyMap<string, string | undefined>
  ): Layer.Layer<ContentExistenceChecker> => {
    const revisions =
      known instanceof Map ? known : new Map(Array.from(known as Iterable<string>, (id) => [id, undefined]))
    const find = (ids: ReadonlyArray<string>) => ids.filter((id) => revisions.has(id))
    return Layer.succeed(ContentExistenceChecker, {
      existing: (ids) => Effect.sync(() => new Set(find(ids))),
      revisions: (ids) =>
        Effect.sync(() => new Map(find(ids).map((id) => [id, Option.fromUndefinedOr(revisions.get(id))])))
    })
  }
}
