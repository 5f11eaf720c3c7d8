/**
 * Measures how fast an agent's session begins on a large mirror: `initialize` of `POST /mcp`, one at a time and twenty
 * at once.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Path from "node:path"
import * as Readline from "node:readline"
import * as FeedFollower from "../../src/derive/FeedFollower.ts"
import { ConnectionStore } from "../../src/engine/store/ConnectionStore.ts"
import { projection } from "../../src/integrations/gmail/Projection.ts"
import { repository } from "../support/IdemProcess.ts"
import * as Database from "./Database.ts"
import { scaled } from "./Scale.ts"
import { median, type Row } from "./Table.ts"

const size = scaled(10_000_000)
const sessions = 100
const atOnce = 20

const serve = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [Path.join(repository, "src/main.ts"), "serve", "--json"], {
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], PORT: "0", ...env },
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (child) =>
      Effect.promise(async () => {
        const ended = once(child, "close")
        child.kill("SIGTERM")
        await ended
      })
  )
  const [line] = yield* Effect.promise(() => once(Readline.createInterface({ input: child.stdout }), "line"))
  return (JSON.parse(String(line)) as { serving: { url: string } }).serving.url
})

const post = async (url: string, token: string, body: object) => {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream"
    },
    body: JSON.stringify(body)
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.status} ${text}`)
  return text
}

const initialize = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "bench", version: "1" } }
}

export const run = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* ConnectionStore
  const { id } = yield* store.createConnection({
    name: "mirror",
    domain: "gmail",
    account: "mirror",
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  yield* store.setPaused(id, "a benchmark")
  yield* FeedFollower.make(new Map([["gmail", projection]]))
  // Narrow rows outside of the feed, so that the server has no rows to derive.
  const last = PgTypes.int8(BigInt(size - 1))
  yield* sql`INSERT INTO content (connection_id, external_id, state, kind, metadata, created_at, updated_at)
    SELECT ${id}::uuid, 'm' || i, 'stored', 'message', '{}', now(), now() FROM generate_series(0::int8, ${last}::int8) AS i`
  yield* sql`INSERT INTO derived.content (connection_id, external_id, source, kind, state, occurred_at)
    SELECT ${id}::uuid, 'm' || i, 'gmail', 'message', 'stored', now() - i * interval '1 second'
    FROM generate_series(0::int8, ${last}::int8) AS i`
  yield* sql`VACUUM ANALYZE content`.unprepared
  yield* sql`VACUUM ANALYZE derived.content`.unprepared
  const api = "a-token-of-the-benchmark"
  const url = yield* serve({
    DATABASE_URL: yield* Database.url,
    IDEM_SECRET_KEY: "00".repeat(32),
    IDEM_API_TOKEN: api
  })
  return yield* Effect.promise(async () => {
    const body = { name: "bench", connections: ["mirror"] }
    const { token } = JSON.parse(await post(`${url}/tokens`, api, body)) as { token: string }
    const timed = async (message: object) => {
      const before = performance.now()
      await post(`${url}/mcp`, token, message)
      return performance.now() - before
    }
    const first = await timed(initialize)
    const times: Array<number> = []
    for (let session = 0; session < sessions; session += 1) times.push(await timed(initialize))
    const crowd: Array<number> = []
    for (let round = 0; round < 5; round += 1) {
      crowd.push(...(await Promise.all(Array.from({ length: atOnce }, () => timed(initialize)))))
    }
    const sorted = (all: ReadonlyArray<number>) => all.toSorted((one, other) => one - other)
    const late = (all: ReadonlyArray<number>) => sorted(all)[Math.floor(all.length * 0.95)] ?? Number.NaN
    const rows = `${size.toLocaleString("en")} rows`
    return [
      { what: `mcp: the first initialize over ${rows}`, value: first, unit: "ms", goal: { atMost: 100 } },
      { what: "  half of the later ones", value: median(times), unit: "ms" },
      { what: "  95 % of them", value: late(times), unit: "ms", goal: { atMost: 100 } },
      { what: `  95 % of ${atOnce} at once`, value: late(crowd), unit: "ms" }
    ] satisfies ReadonlyArray<Row>
  })
}).pipe(Effect.scoped)
