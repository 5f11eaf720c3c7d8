import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Arguments from "../../src/cli/Arguments.ts"

describe("credentials with a key in a file", () => {
  it.effect(
    "@FILE in privateKey or serviceAccount is what the file holds, and nothing else that begins with @ is a file",
    () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const file = yield* fs.makeTempFileScoped()
        yield* fs.writeFileString(file, "-----BEGIN KEY-----\n")
        assert.deepStrictEqual(yield* Arguments.withKeyFile({ username: "@me", privateKey: `@${file}` }), {
          username: "@me",
          privateKey: "-----BEGIN KEY-----\n"
        })
        const password = { username: "me", password: `@${file}` }
        assert.deepStrictEqual(yield* Arguments.withKeyFile(password), password)
        const missing = yield* Effect.flip(Arguments.withKeyFile({ privateKey: "@/nowhere/s3cret" }))
        assert.include(missing.message, "privateKey")
        assert.notInclude(missing.message, "s3cret")
        // A service account's key is a JSON file.
        const broken = yield* Effect.flip(Arguments.withKeyFile({ serviceAccount: `@${file}`, subject: "a@b.c" }))
        assert.include(broken.message, "serviceAccount")
        yield* fs.writeFileString(file, `{"type": "service_account"}`)
        assert.deepStrictEqual(yield* Arguments.withKeyFile({ serviceAccount: `@${file}`, subject: "a@b.c" }), {
          serviceAccount: { type: "service_account" },
          subject: "a@b.c"
        })
      }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )
})
