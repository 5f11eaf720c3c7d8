/** The follower of the feed: the rows that it writes, that it resumes, and that nothing of purged content remains. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { none, type Projection, text, timestamp } from "../../src/contract/Projection.ts"
import * as FeedFollower from "../../src/derive/FeedFollower.ts"
import { projection as ftp } from "../../src/integrations/ftp/Projection.ts"
import { projection as gmail } from "../../src/integrations/gmail/Projection.ts"
import { projection as slack } from "../../src/integrations/slack/Projection.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { ContentStore } from "../../src/engine/store/ContentStore.ts"
import { bytesOf, item, page, running, settle } from "../stores/scenario.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import * as Database from "../support/Postgres.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))
const projections = new Map([
  ["ftp", ftp],
  ["gmail", gmail],
  ["slack", slack]
])

const mail = "Subject: hello\r\n\r\nGood morning\r\n"

const metadata = {
  threadId: "t1",
  labels: { INBOX: true, UNREAD: true },
  from: { name: "Ann", address: "Ann@Example.com" },
  to: [{ name: "", address: "bob@example.com" }],
  date: "2026-01-01T00:00:00.000Z",
  messageId: "<1@example.com>"
}

const rows = (query: string) => SqlClient.SqlClient.use((sql) => sql.unsafe(query))

it.layer(layer, { excludeTestServices: true })("the follower", (it) => {
  it.effect("fills content, mails, addresses and attachments, and again after a change", () =>
    Effect.gen(function* () {
      const run = yield* running()
      yield* run.commit({ items: [item("m1", { bytes: bytesOf(mail), title: "hello", metadata })] })
      yield* awaitVisible
      const follower = yield* FeedFollower.make(projections)
      assert.strictEqual(yield* follower.catchUp, 1)
      assert.deepStrictEqual(
        yield* rows(`SELECT id, thread, subject, from_name, from_address, labels, has_attachments, size::int, text
          FROM mirror.mail WHERE connection = '${run.name}'`),
        [
          {
            id: "m1",
            thread: "t1",
            subject: "hello",
            from_name: "Ann",
            from_address: "ann@example.com",
            labels: ["INBOX", "UNREAD"],
            has_attachments: false,
            size: mail.length,
            text: null
          }
        ]
      )
      assert.deepStrictEqual(yield* rows("SELECT mail, role, address FROM mirror.mail_address ORDER BY role"), [
        { mail: "m1", role: "from", address: "ann@example.com" },
        { mail: "m1", role: "to", address: "bob@example.com" }
      ])
      assert.deepStrictEqual(yield* rows("SELECT part, media_type, version FROM derived.text"), [
        { part: -1, media_type: "message/rfc822", version: null }
      ])
      yield* rows(`INSERT INTO derived.text (connection_id, external_id, part, file_name, size, inline, version)
        SELECT connection_id, external_id, 0, 'a.csv', 4, false, 7 FROM derived.text`)
      assert.deepStrictEqual(yield* rows("SELECT content, part, file_name, size::int FROM mirror.attachment"), [
        { content: "m1", part: 0, file_name: "a.csv", size: 4 }
      ])
      yield* rows("UPDATE derived.text SET text = 'Good morning', version = 7 WHERE part = -1")
      yield* run.commit({
        page: page({ patches: [{ externalId: "m1", metadata: { labels: { UNREAD: null, STARRED: true } } }] })
      })
      yield* awaitVisible
      assert.strictEqual(yield* follower.catchUp, 1)
      assert.deepStrictEqual(yield* rows("SELECT labels, snippet, text, has_attachments FROM mirror.mail"), [
        { labels: ["INBOX", "STARRED"], snippet: "Good morning", text: "Good morning", has_attachments: true }
      ])
      assert.strictEqual(yield* follower.catchUp, 0)
      yield* run.commit({ page: page({ deleted: ["m1"] }) })
      yield* settle(run.fence, { atMost: 2000, share: 1 })
      yield* awaitVisible
      yield* follower.catchUp
      assert.deepStrictEqual(yield* rows("SELECT 1 FROM mirror.mail"), [])
      assert.deepStrictEqual(yield* rows("SELECT state, deleted_at IS NOT NULL AS gone FROM mirror.content"), [
        { state: "deleted", gone: true }
      ])
      const store = yield* ContentStore
      yield* store.purge(run.id, DateTime.makeUnsafe("2099-01-01T00:00:00Z"))
      assert.deepStrictEqual(yield* rows("SELECT 1 FROM mirror.content"), [])
    })
  )

  it.effect("gives a content whose rows the database refuses its own row only, and the others theirs", () =>
    Effect.gen(function* () {
      const run = yield* running()
      yield* run.commit({ items: ["good", "poison", "sound"].map((id) => item(id, { title: id })) })
      yield* awaitVisible
      const follower = yield* FeedFollower.make(
        new Map([
          [
            "gmail",
            {
              // Newer than the integration's own version, so that the table is created.
              version: 1000,
              tables: [{ name: "visit", description: "Visits.", columns: { at: timestamp("When.") } }],
              project: ({ externalId }) => ({
                rows: [{ table: "visit", row: { at: externalId === "poison" ? "2026-02-30T00:00:00Z" : null } }]
              })
            } satisfies Projection
          ]
        ])
      )
      yield* follower.catchUp
      const idsOf = (table: string) =>
        rows(`SELECT external_id AS id FROM derived.${table}
        WHERE connection_id = '${run.id}' ORDER BY 1`)
      assert.deepStrictEqual(yield* idsOf("visit"), [{ id: "good" }, { id: "sound" }])
      assert.deepStrictEqual(yield* idsOf("content"), [{ id: "good" }, { id: "poison" }, { id: "sound" }])
    })
  )
})

const notes = (columns: Projection["tables"][number]["columns"]): Projection => ({
  version: 1,
  tables: [{ name: "note", description: "Notes.", columns }],
  project: ({ externalId }) => ({
    rows: [
      { table: "note", row: Object.fromEntries(Object.keys(columns).map((name) => [name, `${name} of ${externalId}`])) }
    ]
  })
})

it.layer(layer, { excludeTestServices: true })("a projection that comes, or changes, while others derive", (it) => {
  it.effect("makes its tables and all its rows, though its version is the first, or the same", () =>
    Effect.gen(function* () {
      const run = yield* running()
      yield* run.commit({ items: [item("a")] })
      yield* awaitVisible
      const derive = Effect.fnUntraced(function* (projection: Projection | undefined) {
        const follower = yield* FeedFollower.make(new Map(projection === undefined ? [] : [["gmail", projection]]))
        yield* follower.catchUp
      })
      yield* derive(none)
      // A process without that integration derives the same rows.
      yield* derive(undefined)
      yield* derive(notes({ link: text("Where it is.") }))
      assert.deepStrictEqual(yield* rows("SELECT id, link FROM mirror.note"), [{ id: "a", link: "link of a" }])
      yield* derive(notes({ link: text("Where it is."), author: text("Who wrote it.") }))
      assert.deepStrictEqual(yield* rows("SELECT link, author FROM mirror.note"), [
        { link: "link of a", author: "author of a" }
      ])
      // Without the projection, its rows would be removed.
      for (const lacking of [none, undefined]) {
        assert.strictEqual((yield* Effect.flip(derive(lacking)))._tag, "MirrorNewer")
      }
    })
  )
})
