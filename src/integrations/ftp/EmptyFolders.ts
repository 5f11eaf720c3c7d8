/**
 * Decides whether an empty listing of a folder is believed. Some servers answer with success and no names for a folder
 * that they could not read, or for an unmounted disk. So an empty folder proves nothing until the next pass also finds
 * it empty: until then the stored content below it stays.
 *
 * A part for each empty folder stores the pass that first found it empty. The part is removed once the folder has a
 * name again.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { PartMove, Parts } from "../../contract/Parts.ts"

export const Part = Schema.Struct({ emptySince: Schema.Int })
export type Part = typeof Part.Type

/** A folder as a pass found it. */
export interface ListedFolder {
  readonly folder: string
  readonly isEmpty: boolean
}

/** The result of a check: empty folders that are not confirmed, and the parts to move. */
export interface Confirmation {
  /** The empty folders that no earlier pass found empty. */
  readonly unconfirmed: ReadonlyArray<string>
  readonly parts: ReadonlyArray<PartMove<Part>>
}

/** Returns the key of a folder's part. No folder below the root begins with a slash. */
const keyOf = (folder: string): string => (folder === "" ? "/" : folder)

/** Compares the folders of one page with the results of earlier passes. Makes one bulk query. */
export const check = Effect.fnUntraced(function* (
  parts: Parts<Part>,
  pass: number,
  folders: ReadonlyArray<ListedFolder>
) {
  const known = yield* parts.get(folders.map(({ folder }) => keyOf(folder)))
  const unconfirmed: Array<string> = []
  const moves: Array<PartMove<Part>> = []
  for (const { folder, isEmpty } of folders) {
    const key = keyOf(folder)
    const part = known.get(key)
    if (!isEmpty) {
      if (part !== undefined) moves.push({ key, checkpoint: null })
      continue
    }
    if (part === undefined) moves.push({ key, checkpoint: { emptySince: pass } })
    if (part === undefined || part.emptySince >= pass) unconfirmed.push(folder)
  }
  return { unconfirmed, parts: moves } satisfies Confirmation
})
