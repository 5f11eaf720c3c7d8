/** Lists of what is stored, and of what changed, as the memory store gives them. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { ChangePage, ChangePlace } from "../../engine/model/Change.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentPlace, ContentRow, ContentSelection } from "../../engine/model/Content.ts"
import { type Store } from "../../engine/Store.ts"
import * as Storable from "../Storable.ts"
import { byBytes, type ContentEntry, type State, utc } from "./State.ts"

type Methods = Pick<Store["Service"], "contents" | "epoch" | "changes" | "changed">

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

/** Unknown times are before all others. */
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

const byPlace = (a: ChangePlace, b: ChangePlace): number => {
  if (a.transaction !== b.transaction) return a.transaction < b.transaction ? -1 : 1
  if (a.row === null || b.row === null) return (a.row === null ? 0 : 1) - (b.row === null ? 0 : 1)
  return byBytes(a.row.connectionId, b.row.connectionId) || byBytes(a.row.externalId, b.row.externalId)
}

export const make = (state: State): Methods => ({
  contents: (connectionId, selection) =>
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
      // Content whose update failed is both stored and failed: it is listed under either, as what was asked for.
      const contents = rows.slice(0, selection.limit).map((entry) => ({ ...contentOf(entry), state: selection.state }))
      const last = rows.length > selection.limit ? contents.at(-1) : undefined
      const next = last === undefined ? null : { externalId: last.externalId, occurredAt: last.occurredAt }
      return { contents, next }
    }),

  epoch: Effect.succeed(state.epoch),

  changes: ({ after, connectionId, limit }) =>
    Effect.sync(() => {
      const horizon = BigInt(state.step + 1)
      const from = after ?? { transaction: 0n, row: null }
      const all = Array.from(state.connections.values())
        .filter(({ id }) => connectionId === undefined || id === connectionId)
        .flatMap(({ contents, id }) =>
          Array.from(contents.values()).flatMap((entry) => {
            if (entry.changed === null) return []
            const row = { connectionId: id, externalId: entry.externalId }
            return [{ place: { transaction: BigInt(entry.changed.step), row }, change: entry.changed.kind, entry }]
          })
        )
        .filter(({ place }) => byPlace(place, from) > 0)
        .toSorted((a, b) => byPlace(a.place, b.place))
      const changes = all.slice(0, limit).map(({ change, entry, place }) => ({
        place,
        connectionId: ConnectionId.make(place.row.connectionId),
        change,
        content: { ...contentOf(entry), state: change === "deleted" ? ("deleted" as const) : ("stored" as const) }
      }))
      const more = all.length > limit
      return {
        epoch: state.epoch,
        changes,
        next: (more ? changes.at(-1)?.place : undefined) ?? { transaction: horizon, row: null },
        more,
        isAhead: from.transaction > horizon
      } satisfies ChangePage
    }),

  changed: (from) =>
    Effect.sync(() => {
      const connections = Array.from(state.connections.values()).filter(({ contents }) =>
        Array.from(contents.values()).some(({ changed }) => changed !== null && BigInt(changed.step) >= from)
      )
      return { connections: new Set(connections.map(({ id }) => id)), next: BigInt(state.step + 1) }
    })
})
