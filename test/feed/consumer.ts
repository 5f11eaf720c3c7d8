/**
 * A consumer of the feed as a process that may be killed at any moment. It appends changes to its log before it stores
 * the cursor, and does not store every cursor. It ends after the writers have ended and no more changes come.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as FeedModule from "../../src/engine/feed/Feed.ts"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { Line } from "./Told.ts"

const Start = Schema.fromJsonString(
  Schema.Struct({
    socket: Schema.String,
    username: Schema.String,
    password: Schema.String,
    database: Schema.String,
    /** The folder of the log, of the cursor, and of `done`, which exists after the writers have ended. */
    folder: Schema.String,
    name: Schema.String,
    connection: Schema.NullOr(Schema.String),
    start: Schema.Int
  })
)

const start = Schema.decodeUnknownSync(Start)(process.env["FEED_START"])
const encode = Schema.encodeSync(Schema.fromJsonString(Line))
const logFile = Path.join(start.folder, `${start.name}.log`)
const cursorFile = Path.join(start.folder, `${start.name}.cursor`)
const doneFile = Path.join(start.folder, "done")

const sql = PgClient.layer({
  path: start.socket,
  username: start.username,
  password: Redacted.make(start.password),
  database: start.database,
  applicationName: "feed-consumer",
  maxConnections: 2
})

await Effect.gen(function* () {
  const feed = yield* FeedModule.Feed
  let after = Fs.existsSync(cursorFile) ? Fs.readFileSync(cursorFile, "utf8") : undefined
  let pages = 0
  while (true) {
    const wasDone = Fs.existsSync(doneFile)
    const page = yield* feed.changes({
      connectionId: start.connection === null ? undefined : ConnectionId.make(start.connection),
      after,
      limit: 500,
      wait: Duration.seconds(1)
    })
    const lines = page.changes.map(({ change, connection, content }) =>
      encode({ connection, externalId: content.externalId, version: Number(content.title), change, start: start.start })
    )
    // Begins with a new line, because a kill may have cut the last line short; its change is delivered again.
    if (lines.length > 0) Fs.appendFileSync(logFile, `\n${lines.join("\n")}\n`)
    pages += 1
    if (pages % 3 === 0 || lines.length === 0) {
      Fs.writeFileSync(`${cursorFile}.new`, page.next)
      Fs.renameSync(`${cursorFile}.new`, cursorFile)
    }
    after = page.next
    if (wasDone && page.changes.length === 0) return
  }
}).pipe(
  Effect.provide(FeedModule.layer.pipe(Layer.provide(Postgres.layer), Layer.provide(Blobs.layer), Layer.provide(sql))),
  Effect.provideService(References.MinimumLogLevel, "Warn"),
  Effect.runPromise
)
