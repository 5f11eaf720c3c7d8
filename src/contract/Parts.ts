/**
 * Parts: named pieces of a source (a channel, a folder, a mailbox), each with a small checkpoint of its own. They let
 * an integration keep its place in any number of pieces, where one checkpoint of 64 KiB would not hold them all.
 *
 * - A page moves parts with `Page.parts`. They are committed in the transaction that commits the page's checkpoint, so
 *   they are never ahead of the page's items.
 * - `list` reads them on demand, many at once, with `Parts.get`.
 * - A task with a checkpoint of its own (forced, windowed) has parts of its own, which are removed with the task.
 * - A listing that begins without a checkpoint begins without parts: when its first page is committed, the engine
 *   removes all stored parts. So parts never outlive the checkpoint, the scope or the schema under which they were
 *   made.
 */
import * as Effect from "effect/Effect"
import type { ContentExistenceCheckerError } from "./ContentExistenceChecker.ts"
import { type Hinted, noHints } from "./Hints.ts"
import type { IntegrationError } from "./IntegrationError.ts"

/** The largest checkpoint of a part, in bytes of JSON. */
export const maxPartBytes = 4096

/** The most parts that one page may move, and that one `get` may read. */
export const maxParts = 1000

/**
 * The checkpoint of a part once the page is committed; null removes the part. Keys follow the rules of external ids.
 */
export interface PartMove<out Part> {
  readonly key: string
  readonly checkpoint: Part | null
}

export interface Parts<out Part> {
  /**
   * Returns the checkpoints of these parts, without parts that have none. Makes one bulk query. Includes moves of this
   * listing's earlier pages, committed or not. Fails with `CheckpointExpired` if a part no longer fits the
   * integration's schema.
   */
  readonly get: (
    keys: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyMap<string, Part>, ContentExistenceCheckerError | IntegrationError>
  /** The hints since the last poll (see Hints.ts). */
  readonly hinted: Hinted
}

/** Reads no parts, as at the beginning of a listing without a checkpoint. */
export const noParts: Parts<never> = { get: () => Effect.succeed(new Map<string, never>()), hinted: noHints }
