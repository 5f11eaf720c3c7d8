/**
 * The frequent operations on 100,000,000 rows of content, compared with the same on 10,000,000: narrow rows, in 1,000
 * connections. The full size takes an hour and 45 GB of disk.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as ContentTable from "./ContentTable.ts"
import { scaled } from "./Scale.ts"
import { median, number, ratioOf, ratioRange, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const sizes = [10_000_000, 100_000_000].map(scaled) as [number, number]
/** The deleted contents that a purge removes. */
const purged = 1000

/** Deletes contents of a connection two days ago, and returns how many seconds it takes to purge them. */
const purge = Effect.fnUntraced(function* ({ id, sql, store }: ContentTable.Opened, connection: number) {
  yield* sql`UPDATE content SET state = 'deleted', change = 'deleted', body_hash = sha256(external_id::bytea),
      updated_at = now() - interval '2 days'
    WHERE (connection_id, external_id) IN (SELECT connection_id, external_id FROM content
      WHERE connection_id = ${id(connection)}::uuid ORDER BY external_id LIMIT ${purged}::int)`
  const before = yield* sql<{ at: Date }>`SELECT now() - interval '1 day' AS at`
  return yield* Turns.seconds(store.purge(id(connection), DateTime.fromDateUnsafe(before[0]?.at ?? new Date(0))))
})

/** Operations of a maintainer, whose time is proportional to the table. */
const maintenance = {
  "VACUUM, a 10,000th of the rows changed": {
    prepare: `DO $$ BEGIN SET LOCAL enable_seqscan = on;
      UPDATE content SET updated_at = now() WHERE right(external_id, 4) = '1234'; END $$`,
    statement: "VACUUM content"
  },
  "a new index": { prepare: "CHECKPOINT", statement: "CREATE INDEX ON content (connection_id, kind)" }
} as const

/** Compares the two filled databases. */
export const compare = Effect.fnUntraced(function* (small: ContentTable.Opened, large: ContentTable.Opened) {
  const found: Array<Row> = []
  const beside = (what: string, unit: string, goal: number, few: ReadonlyArray<number>, many: ReadonlyArray<number>) =>
    found.push(
      { what: `rows: ${what}, ${number(small.rows, 0)}`, value: median(few), unit },
      {
        what: `  ${number(large.rows, 0)}`,
        value: median(many),
        unit,
        ratio: ratioOf(many, few),
        range: ratioRange(many, few),
        goal: { atMost: goal }
      }
    )
  for (const { name, one, other } of yield* ContentTable.inTurn(small, large)) beside(name, "ms", 1.5, one, other)
  const purges = yield* Effect.forEach([0, 700, 701, 0, 702], (connection) =>
    Effect.all([purge(small, connection), purge(large, connection)])
  )
  beside(
    `a purge of ${number(purged, 0)} contents`,
    "s",
    1.5,
    purges.map(([few]) => few),
    purges.map(([, many]) => many)
  )
  for (const [what, { prepare, statement }] of Object.entries(maintenance)) {
    const seconds = ({ sql }: ContentTable.Opened) =>
      Effect.andThen(sql.unsafe(prepare).unprepared, Turns.seconds(sql.unsafe(statement).unprepared))
    beside(what, "s", 1.5 * (large.rows / small.rows), [yield* seconds(small)], [yield* seconds(large)])
  }
  return found
})

export const run = Effect.gen(function* () {
  const databases = yield* ContentTable.withAnother("large")
  const [small, large] = yield* Effect.forEach(databases, (database, index) => {
    const rows = sizes[index] ?? 0
    return Effect.andThen(
      ContentTable.fill(database, { rows, makeTables: ContentTable.withoutIndexes("") }),
      ContentTable.opened(database, rows)
    )
  })
  if (small === undefined || large === undefined) return yield* Effect.die(new Error("two databases are needed"))
  return yield* compare(small, large)
}).pipe(Effect.scoped)
