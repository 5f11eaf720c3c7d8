/** The folder of an embedded server: its allowed places, its permissions, and the errors that name the problem. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import { file, query } from "./embeddedFixture.ts"

const isRoot = process.getuid?.() === 0

describe("Embedded", () => {
  it.live("works where the path of its folder is too long for a socket, and leaves nothing elsewhere", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      yield* Effect.promise(() => Fs.chmod(parent, 0o755))
      const folder = Path.join(parent, "d".repeat(60), "d".repeat(60), "data")
      const { socket } = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* Embedded.make({ folder })
          assert.isAtMost(Buffer.byteLength(server.socket), 107)
          assert.strictEqual(yield* file.mode(Path.dirname(server.socket)), 0o700)
          assert.deepStrictEqual(yield* query(server, (sql) => sql`SELECT 1 AS one`), [{ one: 1 }])
          const attached = yield* EmbeddedUser.start(folder)
          assert.deepStrictEqual((yield* attached.server).socket, server.socket)
          yield* attached.leave
          return server
        })
      )
      assert.isFalse(yield* file.exists(Path.dirname(socket)))
    })
  )

  it.live("lets nobody in who is not its owner, and listens on no port", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folder
      const server = yield* Embedded.make({ folder })
      assert.strictEqual(yield* file.mode(Path.join(folder, "postgres.password")), 0o600)
      assert.strictEqual(yield* file.mode(Path.join(folder, "postgres.log")), 0o600)
      assert.strictEqual(yield* file.mode(Path.join(folder, "postgres")), 0o700)
      assert.strictEqual((yield* file.mode(folder)) & 0o066, 0)
      assert.isAtLeast(Redacted.value(server.password).length, 32)
      assert.deepStrictEqual(
        yield* query(
          server,
          (sql) => sql`SELECT current_setting('listen_addresses') AS listen, current_setting('fsync') AS fsync,
            current_setting('password_encryption') AS passwords`
        ),
        [{ listen: "", fsync: "on", passwords: "scram-sha-256" }]
      )
      const refused = yield* Effect.flip(query(server, (sql) => sql`SELECT 1`, Redacted.make("wrong")))
      assert.include(JSON.stringify(refused), "AuthenticationError")
    }).pipe(Effect.scoped)
  )

  it.live("refuses the data of another major version, and leaves it as it is", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      yield* Effect.scoped(Embedded.make({ folder }))
      yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "postgres", "PG_VERSION"), "12\n"))
      const error = yield* Effect.flip(Embedded.make({ folder }))
      assert.match(error.message, /holds data of PostgreSQL 12, and this Idem brings \d+/)
    }).pipe(Effect.scoped)
  )

  it.live("says where its folder can't be created", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Embedded.make({ folder: "/proc/nope/data" }))
      assert.match(error.message, /nope\/data can't be made: .+; IDEM_DATA_DIR names another folder$/)
      const folder = Path.join(yield* EmbeddedUser.folder, "two\nlines")
      const broken = yield* Effect.flip(Embedded.make({ folder }))
      assert.match(broken.message, /^IDEM_DATA_DIR holds a line break/)
    }).pipe(Effect.scoped)
  )

  it.live("says why it does not start", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      yield* Effect.scoped(Embedded.make({ folder }))
      const settings = { max_wal_size: "nonsense" }
      const error = yield* Effect.flip(Effect.scoped(Embedded.make({ folder, settings })))
      assert.match(error.message, /did not start in .*: .*max_wal_size.*nonsense/)
      // As in a copy of the folder that belongs to another user.
      yield* Effect.promise(() => Fs.chmod(Path.join(folder, "postgres", "postgresql.conf"), 0))
      const closed = yield* Effect.flip(Effect.scoped(Embedded.make({ folder })))
      assert.match(closed.message, /did not start in .*; its files must belong .*: chown -R \d+:\d+ .*postgres$/)
      assert.notInclude(error.message, "\n")

      const inFile = yield* Effect.flip(Embedded.make({ folder: Path.join(folder, "postgres.password", "data") }))
      assert.match(inFile.message, / is not a folder; IDEM_DATA_DIR names another folder$/)
    }).pipe(Effect.scoped)
  )

  // PostgreSQL refuses to run as root. If these tests are skipped, the tests above have run as an ordinary user.
  describe.skipIf(!isRoot)("as root", () => {
    it.live("runs as another user, who can read neither the password nor the key", () =>
      Effect.gen(function* () {
        const folder = yield* EmbeddedUser.folder
        const server = yield* Embedded.make({ folder })
        assert.notStrictEqual(yield* file.owner(`/proc/${server.pid}`), 0)
        assert.strictEqual(yield* file.owner(Path.join(folder, "postgres.password")), 0)
      }).pipe(Effect.scoped)
    )

    it.live("puts its data in /var/lib/idem where a folder of root's shuts the server out, one for each folder", () =>
      Effect.gen(function* () {
        const closed = yield* EmbeddedUser.folder
        const places: Array<string> = []
        for (const name of ["one", "two"]) {
          const folder = Path.join(closed, name, "data")
          const first = yield* EmbeddedUser.start(folder)
          const server = yield* first.server
          places.push(server.folder)
          yield* Effect.addFinalizer(() => Effect.promise(() => Fs.rm(server.folder, { recursive: true, force: true })))
          assert.match(server.folder, /^\/var\/lib\/idem\/data-[0-9a-f]{12}$/)
          const attached = yield* EmbeddedUser.start(folder)
          assert.deepStrictEqual(yield* attached.server, { ...server, started: false })
          yield* Effect.all([first.leave, attached.leave])
          assert.isFalse(yield* EmbeddedUser.runs(server.pid))
        }
        assert.notStrictEqual(places[0], places[1])
      }).pipe(Effect.scoped)
    )
  })

  describe.skipIf(isRoot)("as an ordinary user", () => {
    it.live("says when the folder may not be written to", () =>
      Effect.gen(function* () {
        const folder = yield* EmbeddedUser.folder
        yield* Effect.promise(() => Fs.chmod(folder, 0o500))
        const error = yield* Effect.flip(Embedded.make({ folder }))
        assert.match(error.message, /can't be written to: permission denied; IDEM_DATA_DIR names another folder/)
      }).pipe(Effect.scoped)
    )
  })
})
