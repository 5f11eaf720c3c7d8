/** The commands in docs/scale.md that move a connection from one PostgreSQL to another. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as CommandLine from "../cli/CommandLine.ts"
import instant from "../cli/instant.config.ts"
import { programFile, repository } from "../support/IdemProcess.ts"
import { makeUrl } from "../support/Postgres.ts"

const [, section = ""] = Fs.readFileSync(Path.join(repository, "docs/scale.md"), "utf8").split("### Move a connection")
const [, commands = ""] = /```sh no-run\n([^`]*)```/.exec(section) ?? []

const keyOf = (byte: number) => Buffer.alloc(32, byte).toString("base64")

describe("moving a connection between cells", () => {
  it.live(
    "loses nothing, downloads nothing again, and leaves the others of the old cell as they are",
    () =>
      Effect.gen(function* () {
        const [old, next] = [yield* makeUrl, yield* makeUrl]
        const inOld = { DATABASE_URL: old, IDEM_SECRET_KEY: keyOf(1) }
        const inNew = { DATABASE_URL: next, IDEM_SECRET_KEY: keyOf(2) }
        const run = CommandLine.ofApp(Effect.succeed(instant.integrations))
        const idem = Effect.fnUntraced(function* (
          env: Readonly<Record<string, string>>,
          ...args: ReadonlyArray<string>
        ) {
          const ended = yield* run([...args, "--json"], { env })
          assert.strictEqual(ended.code, 0, ended.stderr)
          return CommandLine.json(ended)
        })
        const contents = (env: Readonly<Record<string, string>>, name: string) =>
          Effect.map(idem(env, "contents", name, "--limit", "1000"), ({ contents }) => contents)
        for (const name of ["work", "home"]) {
          yield* idem(inOld, "connect", "instant", "--name", name, "--credentials", "{}")
          yield* idem(inOld, "sync", name)
        }
        const [work, home] = [yield* contents(inOld, "work"), yield* contents(inOld, "home")]
        assert.deepStrictEqual([work.length, home.length], [30, 30])

        const script = `idem() { "${process.execPath}" "${programFile("src/main.ts")}" "$@" || exit; }\n${commands}`
        const config = programFile("test/cli/instant.config.ts")
        const env = { IDEM_CONFIG: config, old, new: next, old_key: keyOf(1), new_key: keyOf(2) }
        const shell = spawn("bash", ["-c", script], { env: { PATH: process.env["PATH"], ...env }, stdio: "pipe" })
        let output = ""
        for (const stream of [shell.stdout, shell.stderr]) stream.on("data", (chunk) => (output += chunk))
        const [code] = yield* Effect.promise(() => once(shell, "close"))
        assert.strictEqual(code, 0, output)

        assert.deepStrictEqual(yield* contents(inNew, "work"), work)
        const { connections: here } = yield* idem(inNew, "connections")
        assert.deepStrictEqual(
          here.map(({ name, paused }: { name: string; paused: string | null }) => [name, paused]),
          [["work", null]]
        )
        const synced = yield* idem(inNew, "sync", "work")
        assert.deepStrictEqual([synced.status, synced.stored, synced.downloads], ["succeeded", 0, 0])
        // Both connections have the same bytes: the bytes of the remaining connection were not removed with the other.
        const { connections: there } = yield* idem(inOld, "connections")
        assert.deepStrictEqual(
          there.map(({ name }: { name: string }) => name),
          ["home"]
        )
        assert.deepStrictEqual(yield* contents(inOld, "home"), home)
        for (const [env, name] of [[inNew, "work"] as const, [inOld, "home"] as const]) {
          const shown = yield* run(["show", name, "message-000000005", "--raw"], { env })
          assert.strictEqual(shown.stdout.toString(), "body 5", shown.stderr)
        }
      }).pipe(Effect.scoped),
    120_000
  )
})
