/**
 * Measures the duration of searches, the speed of indexing, and the disk space of the index. The mails are generated in
 * the database with words by Zipf's law, as in real texts, so that queries have words that all mails contain, and rare
 * words.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as FeedFollower from "../../src/derive/FeedFollower.ts"
import * as SearchIndexer from "../../src/derive/search/SearchIndexer.ts"
import * as SearchClient from "../../src/derive/search/SearchClient.ts"
import { ConnectionStore } from "../../src/engine/store/ConnectionStore.ts"
import { projection } from "../../src/integrations/gmail/Projection.ts"
import { scaled } from "./Scale.ts"
import { median, type Row } from "./Table.ts"

const size = scaled(1_000_000)
const atOnce = 10_000
const rounds = 20

/** Returns a word of rank 1 (in nearly all mails) to 50,000 (in few). */
const word = (rank: number) => `w${rank}`

const queries: Readonly<Record<string, ReadonlyArray<string>>> = {
  "common words": [1, 5, 20, 100].map(word),
  "rare words": [500, 2000, 10_000, 40_000].map(word),
  "several words": [
    `${word(3)} ${word(30)}`,
    `${word(100)} ${word(200)}`,
    `${word(50)} ${word(90)} ${word(700)}`,
    `${word(40)} -${word(2)}`,
    `${word(400)} OR ${word(900)}`
  ],
  phrases: [`"${word(2)} ${word(7)}"`, `"${word(20)} ${word(50)}"`, `"${word(500)} ${word(600)}"`],
  people: [
    "from:person1",
    "person12",
    `from:person7 ${word(15)}`,
    "from:p42@example.com",
    `from:p42@example.com ${word(500)}`
  ],
  times: [
    `${word(60)} before:2024-01-01`,
    `${word(3)} after:2023-01-01 before:2023-02-01`,
    `"${word(20)} ${word(50)}" before:2023-01-01`,
    "from:person7 before:2022-01-01"
  ],
  "other fields": [`subject:${word(25)}`, "label:inbox", `label:inbox ${word(300)}`, "is:deleted", "nothingatall"]
}

const decodeSize = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ bytes: Schema.Finite })]))

/** Inserts the mails from `from` to `to`, in the state that the follower and the extractor leave. */
const fill = Effect.fnUntraced(function* (connectionId: string, from: number, to: number) {
  const sql = yield* SqlClient.SqlClient
  const range = sql`generate_series(${PgTypes.int8(BigInt(from))}::int8, ${PgTypes.int8(BigInt(to - 1))}::int8) AS i`
  const words = (count: number) =>
    sql`(SELECT string_agg('w' || floor(exp(random() * ln(50000)))::int, ' ')
      FROM generate_series(1, ${count} + 0 * i))`
  yield* sql`INSERT INTO derived.content (connection_id, external_id, source, kind, state, title, occurred_at)
    SELECT ${connectionId}::uuid, 'm' || i, 'gmail', 'message', 'stored', ${words(6)},
      timestamptz '2026-01-01Z' - random() * interval '5 years' FROM ${range}`
  yield* sql`INSERT INTO derived.text (connection_id, external_id, part, text, version)
    SELECT ${connectionId}::uuid, 'm' || i, -1, ${words(100)}, 0 FROM ${range}`
  yield* sql`INSERT INTO derived.mail (connection_id, external_id, labels)
    SELECT ${connectionId}::uuid, 'm' || i, ARRAY['INBOX'] FROM ${range}`
  yield* sql`INSERT INTO derived.mail_address (connection_id, external_id, role, position, name, address)
    SELECT ${connectionId}::uuid, 'm' || i, 'from', 1, 'person' || i % 3000, 'p' || i % 3000 || '@example.com'
    FROM ${range}`
  yield* sql`INSERT INTO derived.pending (connection_id, external_id)
    SELECT ${connectionId}::uuid, 'm' || i FROM ${range}`
})

export const run = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* ConnectionStore
  const { id } = yield* store.createConnection({
    name: "search",
    domain: "gmail",
    account: "search",
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  const { tables } = yield* FeedFollower.make(new Map([["gmail", projection]]))
  const indexer = yield* SearchIndexer.make(tables)
  let indexing = 0
  for (let from = 0; from < size; from += atOnce) {
    yield* fill(id, from, Math.min(from + atOnce, size))
    const begun = performance.now()
    while ((yield* indexer.step) > 0);
    indexing += performance.now() - begun
  }
  yield* sql`VACUUM ANALYZE derived.search`.unprepared
  const [{ bytes }] = yield* Effect.flatMap(
    sql`SELECT pg_total_relation_size('derived.search')::float8 AS bytes`,
    (rows) => Effect.orDie(decodeSize(rows))
  )
  const { search } = yield* SearchClient.make
  const times = new Map(Object.keys(queries).map((kind) => [kind, new Array<number>()]))
  for (let round = 0; round < rounds; round += 1) {
    for (const [kind, texts] of Object.entries(queries)) {
      for (const text of texts) {
        const begun = performance.now()
        yield* search({ text, limit: 20 })
        times.get(kind)?.push(performance.now() - begun)
      }
    }
  }
  const all = Array.from(times.values()).flat()
  const late = (some: ReadonlyArray<number>) =>
    some.toSorted((one, other) => one - other)[Math.floor(some.length * 0.95)] ?? Number.NaN
  const mails = `${size.toLocaleString("en")} mails`
  return [
    { what: `search: half of the queries over ${mails}`, value: median(all), unit: "ms" },
    {
      what: `search: 95 % of the queries over ${mails}`,
      value: late(all),
      unit: "ms",
      goal: { atMost: 100 }
    },
    ...Array.from(times, ([kind, some]) => ({ what: `  of ${kind}`, value: late(some), unit: "ms" })),
    { what: `search: indexed, of ${mails}`, value: (size / indexing) * 1000, unit: "mails/s" },
    { what: "search: vectors and indexes for a mail of 100 words", value: bytes / size, unit: "bytes" }
  ] satisfies ReadonlyArray<Row>
})
