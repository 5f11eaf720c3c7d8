/** The open listing of a connection in memory, and the deletions that a page end stages. */
import type { Coverage } from "../../contract/Page.ts"
import type { PageEnd } from "../../engine/model/Batch.ts"
import * as Storable from "../Storable.ts"
import { markGone } from "./ContentWriter.ts"
import type { ConnectionEntry, Millis } from "./State.ts"

const isIn = ({ except = [], prefix }: Coverage, id: string): boolean =>
  id.startsWith(prefix) && !except.some((excepted) => id.startsWith(excepted))

/** Returns the ids in this coverage that the listing of this name would find absent if no further page listed them. */
export const unseen = (connection: ConnectionEntry, name: string, coverage: Coverage): ReadonlyArray<string> => {
  const open = connection.listing?.listing === Storable.text(name) ? connection.listing : undefined
  return [...connection.contents].flatMap(([id, entry]) =>
    entry.state === "stored" &&
    entry.scopeEpoch === connection.scopeEpoch &&
    isIn(coverage, id) &&
    (open === undefined || (entry.born < open.born && !open.seen.has(id))) &&
    !connection.staged.has(id)
      ? [id]
      : []
  )
}

const cover = (connection: ConnectionEntry, coverage: Coverage, now: Millis): void => {
  const { listing, staged } = connection
  if (listing === null) return
  for (const id of unseen(connection, listing.listing, coverage)) {
    staged.set(id, {
      cause: "absence",
      ofPass: true,
      stagedAt: now,
      since: listing.born,
      ready: false,
      held: false
    })
  }
}

/**
 * Discards unfinished reading, because a pass from the start replaces it: the open listing with the absences that it
 * found (no later pass may complete over those ids), and the reading of the changes. Deletions that the changes
 * reported so far wait for the new pass.
 */
export const beginAnew = (connection: ConnectionEntry): void => {
  connection.listing = null
  for (const [id, one] of connection.staged) {
    if (one.ready) continue
    if (one.cause === "absence") connection.staged.delete(id)
    else one.ofPass = true
  }
}

/** Ends pages, except for their patches and checkpoint: records their seen ids, coverage and deleted ids. */
export const endPage = (connection: ConnectionEntry, page: PageEnd, inScope: boolean, now: Millis): void => {
  for (const id of page.seen) {
    connection.staged.delete(id)
    const entry = connection.contents.get(id)
    if (entry !== undefined && inScope) entry.scopeEpoch = connection.scopeEpoch
  }
  if (page.listing !== undefined) {
    const listing = Storable.text(page.listing)
    if (connection.listing?.listing !== listing) {
      connection.listing = { listing, born: connection.acquired, seen: new Set() }
    }
    for (const id of page.seen) connection.listing.seen.add(id)
    for (const coverage of page.covers) cover(connection, coverage, now)
  }
  for (const id of page.deleted) markGone(connection, id, now, { ofPass: page.listing !== undefined })
  if (!page.complete) return
  connection.listing = null
  for (const one of connection.staged.values()) if (one.ofPass) one.ready = true
}
