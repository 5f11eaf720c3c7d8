/** The handlers of contents and their changes. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Deriver } from "../../derive/Deriver.ts"
import { contentRow } from "../../engine/feed/ChangeDocument.ts"
import * as ContentList from "../../engine/feed/ContentList.ts"
import * as Feed from "../../engine/feed/Feed.ts"
import type { ContentRow } from "../../engine/model/Content.ts"
import { BodyStore } from "../../engine/store/BodyStore.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import type { FeedStore } from "../../engine/store/FeedStore.ts"
import { LedgerStore } from "../../engine/store/LedgerStore.ts"
import { CommandApi } from "../CommandApi.ts"
import { ledgerRow } from "../connections/ConnectionDocuments.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import { requireOrder } from "../Parameters.ts"
import { asProblem } from "../Problems.ts"
import { Stopping } from "../ShutdownSignal.ts"
import * as BodyResponse from "./BodyResponse.ts"
import * as Documents from "./ContentDocuments.ts"
import * as ContentLookup from "./ContentLookup.ts"
import * as ContentNames from "./ContentNames.ts"

/** The most characters in one page of a text. */
const pageLength = 100_000

export const layer = HttpApiBuilder.group(
  CommandApi,
  "contents",
  Effect.fn(function* (handlers) {
    const connections = yield* ConnectionStore
    const ports = { bodies: yield* BodyStore, connections, contents: yield* ContentStore }
    const context = yield* Effect.context<ContentStore | FeedStore>()
    const ledger = yield* LedgerStore
    const feed = yield* Feed.Feed
    const stopping = yield* Stopping
    const { reads } = yield* Deriver

    const page = Effect.fnUntraced(function* (ref: string, query: ContentList.Query) {
      const { id } = yield* ConnectionLookup.find(connections, ref)
      yield* requireOrder(query)
      const { contents: rows, next } = yield* Effect.provideContext(ContentList.list(id, query), context)
      const names = yield* ContentNames.find(ports.contents, id, rows)
      return <Row>(document: (row: ContentRow) => Row) => ({
        contents: rows.map((row, index) => ({ ...document(row), ...(names[index] ?? ContentNames.none) })),
        next
      })
    })

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ params, query }) {
        return (yield* page(params.connection, query))(contentRow)
      }, asProblem),

      listInFull: Effect.fnUntraced(function* ({ params, query }) {
        return (yield* page(params.connection, query))(Documents.content)
      }, asProblem),

      get: Effect.fnUntraced(function* ({ params, query }) {
        const { externalId } = query
        const { connection, content } = yield* ContentLookup.find(ports, params.connection, externalId)
        const [failure] = yield* ledger.ledger(connection.id, { externalIds: [externalId], limit: 1 })
        const [names = ContentNames.none] = yield* ContentNames.find(ports.contents, connection.id, [content])
        return { ...Documents.content(content), ...names, failure: failure === undefined ? null : ledgerRow(failure) }
      }, asProblem),

      text: Effect.fnUntraced(function* ({ params, query }) {
        const { externalId, offset } = query
        const { connection } = yield* ContentLookup.find(ports, params.connection, externalId)
        const ref = { connection: connection.name, id: externalId }
        const found = yield* reads.get([connection.name], ref, { offset, length: pageLength })
        const { length, text } = Option.getOrElse(found, () => ({ length: 0, text: null }))
        return { text, length, next: offset + pageLength < length ? offset + pageLength : null }
      }, asProblem),

      thread: Effect.fnUntraced(function* ({ params, query }) {
        const { externalId, limit, offset } = query
        const { connection } = yield* ContentLookup.find(ports, params.connection, externalId)
        const ref = { connection: connection.name, id: externalId }
        const { items, next } = yield* reads.thread([connection.name], ref, { limit, offset })
        const found = items.toReversed()
        const rows = yield* ports.contents.contentsById(
          connection.id,
          found.map(({ id }) => id)
        )
        const messages = found.flatMap(({ id, text }) => {
          const row = rows.get(id)
          return row === undefined ? [] : [{ ...row, snippet: text }]
        })
        const names = yield* ContentNames.find(ports.contents, connection.id, messages)
        return {
          messages: messages.map((row, index) => ({
            ...Documents.content(row),
            ...(names[index] ?? ContentNames.none),
            text: row.snippet
          })),
          next
        }
      }, asProblem),

      body: Effect.fnUntraced(function* ({ params, query, request }) {
        const { externalId } = query
        const body = yield* ContentLookup.body(ports, params.connection, externalId)
        return yield* BodyResponse.answer(request, { title: body.title, externalId }, body)
      }, asProblem),

      changes: Effect.fnUntraced(function* ({ query }) {
        const { connection, wait, ...rest } = query
        const connectionId =
          connection === undefined ? undefined : (yield* ConnectionLookup.find(connections, connection)).id
        const changes = (seconds: number) => feed.changes({ ...rest, connectionId, wait: Duration.seconds(seconds) })
        if (wait === 0) return yield* changes(0)
        // On shutdown, a waiting reader gets a response with its cursor.
        return yield* Effect.raceFirst(changes(wait), Effect.andThen(stopping.await, changes(0)))
      }, asProblem)
    })
  })
).pipe(Layer.provide(Feed.layer))
