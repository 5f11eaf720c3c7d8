import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { execFile } from "node:child_process"
import { inject } from "vitest"
import * as Database from "../../support/Postgres.ts"

const Measured = Schema.fromJsonString(Schema.Struct({ listed: Schema.Int, growth: Schema.Int }))

/** Returns the bytes by which one sync, in a separate process, raises the peak of memory in use. */
const growthOf = (what: "ids" | "body", size: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
    const { password, socket, username } = inject("postgres")
    const environment = {
      TEST_SOCKET: socket,
      TEST_USER: username,
      TEST_PASSWORD: password,
      TEST_DATABASE: row?.name ?? ""
    }
    const printed = yield* Effect.callback<string, Error>((resume) => {
      const child = execFile(
        process.execPath,
        ["--expose-gc", "test/engine/sync/memoryOf.ts", what, String(size)],
        { env: { ...process.env, ...environment } },
        (error, stdout, stderr) =>
          resume(error === null ? Effect.succeed(stdout) : Effect.fail(new Error(`${error.message}\n${stderr}`)))
      )
      return Effect.sync(() => child.kill("SIGKILL"))
    })
    return yield* Schema.decodeEffect(Measured)(printed.trim())
  }).pipe(Effect.provide(Database.layer))

const megabyte = 1024 * 1024
const allowance = 4 * megabyte

describe("the memory of a sync", () => {
  it.live("does not grow with the number of ids that are listed", () =>
    Effect.gen(function* () {
      const few = yield* growthOf("ids", 5000)
      const many = yield* growthOf("ids", 60_000)
      assert.deepStrictEqual([few.listed, many.listed], [5000, 60_000])
      assert.isBelow(many.growth - few.growth, allowance)
    })
  )

  it.live("does not grow with the size of a body", () =>
    Effect.gen(function* () {
      const small = yield* growthOf("body", 8 * megabyte)
      const large = yield* growthOf("body", 48 * megabyte)
      assert.isBelow(large.growth - small.growth, allowance)
    })
  )
})
