/** A database of emails for tests of search: filling, deriving and searching. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as TextExtractor from "../../../src/derive/extract/TextExtractor.ts"
import * as PendingTexts from "../../../src/derive/extract/PendingTexts.ts"
import * as FeedFollower from "../../../src/derive/FeedFollower.ts"
import type { Query } from "../../../src/derive/search/Search.ts"
import * as SearchIndexer from "../../../src/derive/search/SearchIndexer.ts"
import * as SearchClient from "../../../src/derive/search/SearchClient.ts"
import { projection as gmail } from "../../../src/integrations/gmail/Projection.ts"
import { projection as slack } from "../../../src/integrations/slack/Projection.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import { bytesOf, item, type Running } from "../../stores/scenario.ts"
import { awaitVisible } from "../../stores/awaitVisible.ts"
import * as Database from "../../support/Postgres.ts"
import * as Files from "../extract/Files.ts"

export const layer = Layer.mergeAll(
  Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer)),
  TextExtractor.layer
)

export const projections = new Map([
  ["gmail", gmail],
  ["slack", slack]
])

/** Follows the feed to its end, extracts, and indexes. */
export const derive = Effect.gen(function* () {
  yield* awaitVisible
  const follower = yield* FeedFollower.make(projections)
  yield* follower.catchUp
  const texts = yield* PendingTexts.make
  const indexer = yield* SearchIndexer.make(follower.tables)
  while ((yield* texts.step) + (yield* indexer.step) > 0);
})

export const search = Effect.fnUntraced(function* (text: string, query: Partial<Query> = {}) {
  const { search } = yield* SearchClient.make
  return yield* search({ text, limit: 20, ...query })
})

export const idsOf = (text: string, query: Partial<Query> = {}) =>
  Effect.map(search(text, query), ({ results }) => results.map(({ externalId }) => externalId))

export const found = (text: string, query: Partial<Query> = {}) =>
  Effect.map(idsOf(text, query), (ids) => ids.toSorted())

export const rows = (query: string) => SqlClient.SqlClient.use((sql) => sql.unsafe(query))

export interface Mail {
  readonly subject: string
  readonly text: string
  readonly from?: readonly [name: string, address: string]
  readonly to?: string
  readonly labels?: ReadonlyArray<string>
  readonly at?: string
  readonly files?: Readonly<Record<string, string>>
}

export const mail = (
  id: string,
  {
    at = "2026-01-02",
    files = {},
    from = ["Ann Smith", "ann@example.com"],
    labels = [],
    subject,
    text,
    to = "bob@example.org"
  }: Mail
) =>
  item(id, {
    title: subject,
    occurredAt: DateTime.makeUnsafe(`${at}T00:00:00Z`),
    metadata: {
      from: { name: from[0], address: from[1] },
      to: [{ name: "", address: to }],
      labels: Object.fromEntries(labels.map((label) => [label, true]))
    },
    bytes: Files.mail(
      id,
      `Content-Type: text/plain; charset=utf-8\r\n\r\n${text}`,
      ...Object.entries(files).map(([name, content]) => Files.attachment(name, "text/plain", bytesOf(content)))
    )
  })

export const store = Effect.fnUntraced(function* (run: Running, mails: Readonly<Record<string, Mail>>) {
  yield* run.commit({ items: Object.entries(mails).map(([id, one]) => mail(id, one)) })
  yield* derive
})
