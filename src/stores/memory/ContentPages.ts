/** Pages of stored contents in memory. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { ContentPlace, ContentRow, ContentSelection } from "../../engine/model/Content.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"
import * as Storable from "../Storable.ts"
import { byBytes, type ContentEntry, type State, utc } from "./State.ts"

export const contentOf = (entry: ContentEntry): ContentRow => ({
  externalId: entry.externalId,
  kind: entry.kind,
  state: entry.state,
  revision: entry.revision ?? null,
  hash: entry.hash,
  size: entry.size,
  title: entry.title,
  mediaType: entry.mediaType,
  occurredAt: entry.occurredAt ?? null,
  metadata: entry.metadata,
  volatile: entry.volatile,
  createdAt: utc(entry.createdAt),
  updatedAt: utc(entry.updatedAt)
})

/** Unknown times sort before all others. */
const timeOf = (place: { readonly occurredAt?: DateTime.Utc | null | undefined }): number =>
  place.occurredAt ? DateTime.toEpochMillis(place.occurredAt) : Number.NEGATIVE_INFINITY

type Placed = Pick<ContentEntry, "externalId" | "occurredAt"> | ContentPlace

const byId = (a: Placed, b: Placed) => byBytes(a.externalId, b.externalId)
const byNewest = (a: Placed, b: Placed) => {
  const [one, other] = [timeOf(a), timeOf(b)]
  return one === other ? byBytes(b.externalId, a.externalId) : other - one
}

const isSelected = ({ kind, since, state, text, until }: ContentSelection) => {
  const from = since === undefined ? Number.NEGATIVE_INFINITY : DateTime.toEpochMillis(since)
  const to = until === undefined ? Number.POSITIVE_INFINITY : DateTime.toEpochMillis(until)
  const word = text === undefined ? undefined : Storable.text(text).toLowerCase()
  return (entry: ContentEntry): boolean => {
    const time = timeOf(entry)
    return (
      (entry.state === state || entry.pending === state) &&
      (kind === undefined || entry.kind === Storable.text(kind)) &&
      ((since ?? until) === undefined || (Number.isFinite(time) && time >= from && time < to)) &&
      (word === undefined || ((entry.title ?? "").toLowerCase().includes(word) && entry.title !== null))
    )
  }
}

/** Returns a page of the connection's contents. */
export const list =
  (state: State): ContentStore["Service"]["contents"] =>
  (connectionId, selection) =>
    Effect.sync(() => {
      const order = selection.order === "newest" ? byNewest : byId
      const after =
        selection.after === undefined
          ? undefined
          : { ...selection.after, externalId: Storable.text(selection.after.externalId) }
      const rows = Array.from(state.connections.get(connectionId)?.contents.values() ?? [])
        .filter(isSelected(selection))
        .filter((entry) => after === undefined || order(entry, after) > 0)
        .toSorted(order)
      // Content whose update failed is both stored and failed, so it is listed under either state.
      const contents = rows.slice(0, selection.limit).map((entry) => ({ ...contentOf(entry), state: selection.state }))
      const last = rows.length > selection.limit ? contents.at(-1) : undefined
      const next = last === undefined ? null : { externalId: last.externalId, occurredAt: last.occurredAt }
      return { contents, next }
    })
