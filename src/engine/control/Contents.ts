/** `Control` of what is stored, and of its changes. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ContentPages from "../feed/ContentPages.ts"
import { type ConnectionRef, type ContentQuery, type Control, NotFound } from "../Control.ts"
import { UsageError } from "../Engine.ts"
import type { Feed } from "../feed/Feed.ts"
import { Store } from "../Store.ts"
import * as MessageText from "../MessageText.ts"
import * as Naming from "./Naming.ts"
import * as Shown from "./Shown.ts"

type Methods = Pick<
  Control["Service"],
  "contents" | "contentsInFull" | "content" | "body" | "bytes" | "purge" | "changes"
>

const pageAtMost = 1000

const limited = (limit: number): number => Math.max(1, Math.min(pageAtMost, Math.trunc(limit)))

export const make = (store: Store["Service"], feed: Feed["Service"]): Methods => {
  const find = (ref: ConnectionRef) => Naming.connection(store, ref)

  const list = Effect.fnUntraced(function* (ref: ConnectionRef, query: ContentQuery) {
    const { id } = yield* find(ref)
    const { since, until } = query
    if (since !== undefined && until !== undefined && !DateTime.isLessThan(since, until)) {
      return yield* new UsageError({ message: "since must lie before until: nothing is in between" })
    }
    return yield* Effect.provideService(ContentPages.list(id, { ...query, limit: limited(query.limit) }), Store, store)
  })

  const content = Effect.fnUntraced(function* (ref: ConnectionRef, externalId: string) {
    const connection = yield* find(ref)
    const found = Option.getOrUndefined(yield* store.content(connection.id, externalId))
    if (found !== undefined) return { connection, found }
    return yield* new NotFound({
      what: "content",
      message: `${MessageText.quoted(connection.name)} has nothing with the id ${MessageText.quoted(externalId)}`
    })
  })

  const body: Methods["body"] = Effect.fnUntraced(function* (ref, externalId) {
    const { hash, mediaType, size, state, title } = (yield* content(ref, externalId)).found
    if (hash === null) {
      return yield* new NotFound({
        what: "body",
        message: `${MessageText.quoted(externalId)} is ${state}, and no body of it is stored`
      })
    }
    return { title, mediaType, hash, size, bytes: (range) => store.body(hash, range) }
  })

  return {
    contents: (ref, query) =>
      Effect.map(list(ref, query), ({ contents, next }) => ({ contents: contents.map(Shown.contentRow), next })),

    contentsInFull: (ref, query) =>
      Effect.map(list(ref, query), ({ contents, next }) => ({ contents: contents.map(Shown.content), next })),

    content: Effect.fnUntraced(function* (ref, externalId) {
      const { connection, found } = yield* content(ref, externalId)
      const [failure] = yield* store.ledger(connection.id, { externalIds: [externalId], limit: 1 })
      return { ...Shown.content(found), failure: failure === undefined ? null : Shown.ledgerRow(failure) }
    }),

    body,

    bytes: (ref, externalId) => Stream.unwrap(Effect.map(body(ref, externalId), ({ bytes }) => bytes())),

    purge: (ref, before) => Effect.flatMap(find(ref), ({ id }) => store.purge(id, before)),

    changes: Effect.fnUntraced(function* ({ connection, ...query }) {
      const connectionId = connection === undefined ? undefined : (yield* find(connection)).id
      return yield* feed.changes({ ...query, connectionId, limit: limited(query.limit) })
    })
  }
}
