/**
 * The service that tells an integration which ids are already known, with one bulk query.
 *
 * Known means stored, failed, dead, deferred, or in flight in this run. Gone and deleted ids are not known: if such an
 * id is listed again, it is new. The engine scopes each checker to one connection.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Ref } from "./Content.ts"
import type { SyncTask } from "./SyncTask.ts"

/** The checker's query failed. The error fails the run, and is never read as "nothing exists". */
export class ContentExistenceCheckerError extends Schema.TaggedError<ContentExistenceCheckerError>()(
  "ContentExistenceCheckerError",
  { message: Schema.String, cause: Schema.Defect() }
) {}

export class ContentExistenceChecker extends Context.Service<
  ContentExistenceChecker,
  {
    /** Returns the subset of these external ids that the connection already knows. Makes one bulk query. */
    readonly existing: (
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlySet<string>, ContentExistenceCheckerError>
    /**
     * Returns the known ids with the revision last stored (or, in the ledger, last tried), for sources whose content
     * changes under the same id. Makes one bulk query.
     */
    readonly revisions: (
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Option.Option<string>>, ContentExistenceCheckerError>
  }
>()("idem/contract/ContentExistenceChecker") {
  /**
   * Selects the refs of one listed page to download, each id once, in the page's order. All rules about `force` are
   * here:
   *
   * - `force` selects every ref, without a query;
   * - `forceIds` are selected whether they are known or not;
   * - all other refs are filtered by one bulk query: `by` `"id"` (the default) selects unknown ids; `"revision"` also
   *   selects ids that are known under another revision, where an absent revision equals only an absent one.
   *
   * An empty page makes no query.
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

  /** Provides a checker that knows exactly these ids, with their revisions if a map is given. */
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
