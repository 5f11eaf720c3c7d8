/**
 * Parts: named pieces of a source (a channel, a folder, a mailbox), each with a small checkpoint of its own. They let
 * an integration keep a place in any number of pieces, where one checkpoint of 64 KiB would not hold them all.
 *
 * - A page moves parts with `Page.parts`. They are committed in the transaction that commits the page's checkpoint, so
 *   they never stand ahead of the page's items.
 * - `list` reads them on demand, many at once, with `Parts.get`.
 * - A task with a checkpoint of its own (forced, windowed) has parts of its own, which go with the task.
 * - A listing that begins without a checkpoint begins without parts: the engine forgets all that were stored when the
 *   first page of that listing is committed. So parts never outlive the checkpoint, the scope or the schema they were
 *   made under.
 */
import * as Effect from "effect/Effect"
import type { ContentExistenceCheckerError } from "./ContentExistenceChecker.ts"
import { type Hinted, noHints } from "./Hints.ts"
import type { IntegrationError } from "./IntegrationError.ts"

/** The largest checkpoint of a part, in bytes of JSON. */
export const maxPartBytes = 4096

/** The most parts that one page may move, and that one `get` may ask for. */
export const maxParts = 1000

/** Where a part stands once the page is committed; null forgets the part. Keys follow the rules of external ids. */
export interface PartMove<out Part> {
  readonly key: string
  readonly checkpoint: Part | null
}

export interface Parts<out Part> {
  /**
   * The checkpoints of these parts. A part without one is absent. One bulk query. It includes what the pages of this
   * listing have moved so far, committed or not. A part that no longer fits the integration's schema fails with
   * `CheckpointExpired`.
   */
  readonly get: (
    keys: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyMap<string, Part>, ContentExistenceCheckerError | IntegrationError>
  /** The hints since the last poll (see Hints.ts). */
  readonly hinted: Hinted
}

/** No part is stored, as at the beginning of a listing without a checkpoint. */
export const noParts: Parts<never> = { get: () => Effect.succeed(new Map<string, never>()), hinted: noHints }
