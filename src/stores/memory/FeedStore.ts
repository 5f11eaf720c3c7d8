/** The feed of changes in memory. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ChangePage, ChangePlace } from "../../engine/model/Change.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { FeedStore } from "../../engine/store/FeedStore.ts"
import { contentOf } from "./ContentPages.ts"
import { byBytes, type State } from "./State.ts"

const byPlace = (a: ChangePlace, b: ChangePlace): number => {
  if (a.transaction !== b.transaction) return a.transaction < b.transaction ? -1 : 1
  if (a.row === null || b.row === null) return (a.row === null ? 0 : 1) - (b.row === null ? 0 : 1)
  return byBytes(a.row.connectionId, b.row.connectionId) || byBytes(a.row.externalId, b.row.externalId)
}

const make = (state: State): FeedStore["Service"] => ({
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
        became: {
          stored: entry.became.stored === null ? null : BigInt(entry.became.stored),
          undeleted: entry.became.undeleted === null ? null : BigInt(entry.became.undeleted)
        },
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

  holder: Effect.succeed(null),

  changed: (from) =>
    Effect.sync(() => {
      const connections = Array.from(state.connections.values()).filter(({ contents }) =>
        Array.from(contents.values()).some(({ changed }) => changed !== null && BigInt(changed.step) >= from)
      )
      return { connections: new Set(connections.map(({ id }) => id)), next: BigInt(state.step + 1) }
    })
})

export const layer = (state: State): Layer.Layer<FeedStore> => Layer.succeed(FeedStore, make(state))
