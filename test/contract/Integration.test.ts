import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { make } from "../../src/contract/Integration.ts"
import { execFile } from "node:child_process"
import { readFile, rm, writeFile } from "node:fs/promises"
import { integration, MemorySource } from "../support/MemorySource.ts"

/** Returns the compiler's output for a file of this folder. */
const compile = (file: string) =>
  new Promise<string>((resolve) => {
    const flags = ["--noEmit", "--strict", "--target", "ES2024", "--module", "NodeNext", "--skipLibCheck"]
    execFile(
      process.execPath,
      [
        "node_modules/typescript/bin/tsc",
        "--ignoreConfig",
        ...flags,
        "--allowImportingTsExtensions",
        "--exactOptionalPropertyTypes",
        file
      ],
      (_error, stdout) => resolve(stdout)
    )
  })

describe("the contract's types", () => {
  it("let an integration require the checker and nothing else, by the compiler's word", async () => {
    const source = await readFile("test/contract/requirement.ts", "utf8")
    const bare = "test/contract/requirement.bare.ts"
    await writeFile(bare, source.replaceAll(/\/\/ @ts-expect-error.*\n/g, ""))
    try {
      // With its comments the file compiles, as `npm run check` finds.
      const violated = await compile(bare)
      assert.include(violated, "'Database' is not assignable to type 'ContentExistenceChecker'")
      assert.strictEqual(violated.match(/error TS/g)?.length, 2)
    } finally {
      await rm(bare)
    }
  })
})

describe("an integration", () => {
  const made = integration(new MemorySource())

  it.effect("names each field of its config that is wrong, and none of the values of its credentials", () =>
    Effect.gen(function* () {
      const config = yield* Effect.flip(made.decodeConfig({ folder: 3, foldr: "x" }))
      assert.include(config.message, `["folder"]`)
      assert.include(config.message, `["foldr"]`)
      const credentials = yield* Effect.flip(made.decodeCredentials({ token: 12345678 }))
      assert.include(credentials.message, `["token"]`)
      assert.notInclude(credentials.message, "12345678")
    })
  )

  it.effect("gives its scope's fields and its quota with the config", () =>
    Effect.gen(function* () {
      const { json, quota, scope } = yield* made.decodeConfig({ folder: "a", note: "b", quota: { unitsPerMinute: 7 } })
      assert.deepStrictEqual(scope, { folder: "a" })
      assert.strictEqual(quota.unitsPerMinute, 7)
      assert.deepStrictEqual(json, { folder: "a", note: "b", quota: { unitsPerMinute: 7 } })
    })
  )

  it.effect("gives the fields of its address as they are encoded, and none that is not there", () =>
    Effect.gen(function* () {
      const feed = make({
        domain: "feed",
        config: Schema.Struct({
          url: Schema.optionalKey(Schema.URLFromString),
          note: Schema.optionalKey(Schema.String)
        }),
        credentials: Schema.Struct({}),
        checkpoint: Schema.Null,
        scope: [],
        address: ["url"],
        quota: () => ({ unitsPerMinute: 1 }),
        open: () => Effect.die("not opened")
      })
      const addressOf = (config: unknown) => Effect.map(feed.decodeConfig(config), ({ address }) => address)
      assert.deepStrictEqual(yield* addressOf({ url: "http://A.example", note: "n" }), { url: "http://a.example/" })
      assert.deepStrictEqual(yield* addressOf({ note: "n" }), {})
    })
  )

  it.effect("gives its credentials as JSON in clear, for sealing, and takes them back", () =>
    Effect.gen(function* () {
      const json = yield* made.decodeCredentials({ token: "s3cret" })
      assert.deepStrictEqual<Schema.Json>(json, { token: "s3cret" })
      assert.deepStrictEqual(yield* made.decodeCredentials(json), json)
    })
  )

  it.effect("can tell a checkpoint that it no longer reads", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* made.readsCheckpoint({ position: 3 }))
      assert.isFalse(yield* made.readsCheckpoint({ where: "page 3" }))
    })
  )
})
