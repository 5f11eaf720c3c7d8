/** Searches return the same newest matches with every index, however wrong the planner's estimates are. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { running } from "../../stores/scenario.ts"
import { derive, layer, rows } from "./Scenario.ts"

/** More than the number of contents that are checked one by one. */
const contents = 18_000

const most = 100

const queries = [
  "'all'",
  "'half'",
  "'tenth'",
  "'hundredth'",
  "'thousandth'",
  "'old'",
  "'old':*",
  "'hal':* & 'old':*",
  "'nowhere'",
  "'half' & 'tenth'",
  "'half' & !'tenth'",
  "'all' & !'half'",
  "!'half'",
  "'hundredth' | 'thousandth'",
  "'from:p':*",
  "'from:p1':*",
  "'from:p12':*",
  "'thousandth' | 'from:thousandth':*",
  "'hundredth' <-> 'half'",
  "'old' <-> 'half'",
  "'thousandth' <-> 'tenth'",
  "'half' <-> 'later'",
  "'older'",
  "'older' & 'tenth'",
  "'older' & !'half'",
  "'older' & ( 'half' <-> 'later' )"
]

/** The SQL of a content's time by its number: four contents at each time, over 187 days. */
const time = "timestamptz '2026-01-01Z' + i / 4 * interval '1 hour'"

/**
 * The SQL of a content's vector by its number. Each word is in as many contents as it says: `old` in the oldest 900,
 * `older` in all but the newest 600 and in a fiftieth of the newest, and `later` in the contents with `half`, rarely
 * next to it. The oldest third is not indexed again yet, so it lacks its months.
 */
const vector = `concat_ws(' ', '''all'':1',
  CASE WHEN i % 2 = 0 THEN '''half'':3' END, CASE WHEN i % 10 = 0 THEN '''tenth'':2' END,
  CASE WHEN i % 100 = 0 THEN '''hundredth'':2' END, CASE WHEN i % 1000 = 0 THEN '''thousandth'':1' END,
  CASE WHEN i % 2 = 0 THEN '''later'':' || CASE WHEN i % 100 = 0 THEN 4 ELSE 9 END END,
  CASE WHEN i > ${contents / 3} THEN quote_literal(derived.search_month(${time})) END,
  CASE WHEN i < 17400 OR i % 50 = 0 THEN '''older'':2' END,
  CASE WHEN i < 900 THEN '''old'':2' END, '''from:p' || i % 300 || '''')::tsvector`

it.layer(layer, { excludeTestServices: true })("the newest that fit", (it) => {
  it.effect(
    "are the same as those of a full scan, with and without statistics, for a period and for a connection",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { id } = yield* running()
        const { id: other } = yield* running()
        yield* derive
        yield* sql.unsafe(`INSERT INTO derived.search (connection_id, external_id, occurred_at, deleted, vector)
        SELECT CASE WHEN i % 3 = 0 THEN '${other}'::uuid ELSE '${id}'::uuid END, 'm' || i,
          ${time}, i % 50 = 1, ${vector}
        FROM generate_series(1, ${contents}) AS i`)
        const scopes = [
          { scope: "true", given: "NULL, NULL, NULL" },
          { scope: `connection_id = '${id}'`, given: `ARRAY['${id}']::uuid[], NULL, NULL` },
          {
            scope: "occurred_at >= '2026-01-20Z' AND occurred_at < '2026-04-01Z'",
            given: "NULL, '2026-01-20Z', '2026-04-01Z'"
          }
        ]
        const check = Effect.fnUntraced(function* (query: string, { given, scope }: (typeof scopes)[number]) {
          const wanted = `$query$${query}$query$::tsquery`
          const hasPhrase = query.includes("<->")
          // A phrase is searched in the newest 2,000 contents that have its words.
          const scanned = yield* rows(`SELECT external_id AS id FROM (SELECT * FROM derived.search
            WHERE vector @@ $query$${query.replaceAll("<->", "&")}$query$ AND NOT deleted AND ${scope}
            ORDER BY occurred_at DESC, connection_id DESC, external_id DESC LIMIT ${hasPhrase ? 2000 : most}) AS newest
          WHERE vector @@ ${wanted} ORDER BY occurred_at DESC, connection_id DESC, external_id DESC LIMIT ${most}`)
          const found = yield* rows(`SELECT (key).external_id AS id
          FROM unnest(derived.search_newest(${wanted}, ${given}, false, NULL, true, ${most})) AS key`)
          assert.deepStrictEqual(found, scanned, `${query} where ${scope}`)
          return found.length
        })
        const lengths = new Array<number>()
        for (const hasStatistics of [false, true]) {
          if (hasStatistics) yield* sql`VACUUM ANALYZE derived.search`.unprepared
          for (const query of queries) for (const scope of scopes) lengths.push(yield* check(query, scope))
        }
        assert.isTrue(lengths.includes(0) && lengths.includes(most) && lengths.some((one) => one > 0 && one < most))
      })
  )
})
