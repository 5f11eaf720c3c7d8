/**
 * Runs the commands of the documentation: every line of an `sh` block, page by page, against a real `idem serve` and a
 * stand-in for Gmail. Commands of `idem` run in this process. A block that can't be run here is marked `sh no-run`.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import packageJson from "../../package.json" with { type: "json" }
import * as CommandLine from "../cli/CommandLine.ts"
import * as GmailServer from "../support/GmailServer.ts"
import { type Ended, programFile } from "../support/IdemProcess.ts"
import * as Postgres from "../support/Postgres.ts"
import { blocksOf, pages } from "./Pages.ts"

const token = "a-token-of-the-documentation"
const idem = CommandLine.ofApp()

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-docs-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const ended = async (child: ChildProcess): Promise<Ended> => {
  let stdout = ""
  let stderr = ""
  child.stdout?.on("data", (chunk) => (stdout += chunk))
  child.stderr?.on("data", (chunk) => (stderr += chunk))
  const [code] = (await once(child, "close")) as [number | null]
  return { code, stdout, stderr }
}

/** Starts `idem serve` with the connection `me`, which has stored its messages 18c0000 to 18c0004. */
const scene = Effect.gen(function* () {
  const cwd = yield* folder
  const gmail = yield* GmailServer.make()
  for (let index = 0; index < 5; index += 1) gmail.mailbox.add({ id: `18c000${index}`, subject: `Letter ${index}` })
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: process.env["HOME"] ?? "",
    DATABASE_URL: yield* Postgres.makeUrl,
    IDEM_SECRET_KEY: Buffer.alloc(32, 7).toString("base64"),
    IDEM_API_TOKEN: token,
    PORT: "0"
  }
  const config = JSON.stringify({ rootUrl: gmail.url, quota: { unitsPerMinute: 1_000_000_000 } })
  const credentials = JSON.stringify({ accessToken: "token" })
  for (const args of [
    ["connect", "gmail", "--name", "me", "--config", config, "--credentials", credentials],
    ["sync", "me"]
  ]) {
    const { code, stderr } = yield* idem(args, { env })
    assert.strictEqual(code, 0, stderr)
  }
  const serve = spawn(process.execPath, [programFile("src/main.ts"), "serve"], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"]
  })
  const address = yield* Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<string>((resolve, reject) => {
          let said = ""
          serve.stdout?.on("data", (chunk) => {
            said += chunk
            const [, found] = /^ {2}at http:\/\/(\S+),/m.exec(said) ?? []
            if (found !== undefined) resolve(found)
          })
          serve.once("close", (code) => reject(new Error(`idem serve ended with ${code}`)))
        })
    ),
    () => Effect.promise(() => (serve.kill("SIGTERM"), once(serve, "close")))
  )
  return { cwd, env, address }
})

class Scene extends Context.Service<Scene, Effect.Success<typeof scene>>()("test/docs/Scene") {
  static readonly layer = Layer.effect(Scene, scene)
}

const isNpm = (line: string): boolean => /^npm( |$)/.test(line)
const isIdem = (line: string): boolean => line.startsWith("npx idem ")

/** Returns the arguments of a line that calls `idem`. */
const argumentsOf = (line: string): ReadonlyArray<string> =>
  Array.from(line.replace(/ +# .*$/, "").matchAll(/"([^"]*)"|[^" ]+/g), ([word, quoted]) => quoted ?? word).slice(2)

/**
 * Returns the lines of a page's `sh` blocks. Lines that call npm are checked in another test, because npm runs the
 * tests themselves.
 */
const linesOf = (page: (typeof pages)[number]): ReadonlyArray<string> =>
  blocksOf(page, "sh")
    .flatMap((block) => block.split("\n"))
    .filter((line) => line.trim() !== "")

/** Runs an effect while this folder is the current one. */
const inFolder = <A, E, R>(path: string, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const former = process.cwd()
      process.chdir(path)
      return former
    }),
    () => effect,
    (former) => Effect.sync(() => process.chdir(former))
  )

/** The shell function `api` from the page on the HTTP API, which other pages use. */
const api = pages.flatMap(linesOf).find((line) => line.startsWith("api() {"))

describe("the documentation", () => {
  layer(Scene.layer, { excludeTestServices: true })("has only commands that work", (it) => {
    for (const page of pages) {
      const lines = linesOf(page).filter((line) => !isNpm(line))
      if (lines.length === 0) continue
      it.effect(page.path, () =>
        Effect.gen(function* () {
          const { address, cwd, env } = yield* Scene
          for (const line of lines.filter(isIdem)) {
            const { code, stderr } = yield* inFolder(cwd, idem(argumentsOf(line), { env }))
            assert.strictEqual(code, 0, `${line}\n${stderr}`)
          }
          const script = [
            api ?? "",
            ...lines
              .filter((line) => !isIdem(line))
              .flatMap((line) => [
                line,
                `code=$?; [ $code = 0 ] || { echo "exit $code: $(cat)" >&2; exit 1; } <<'END'`,
                line,
                "END"
              ])
          ]
            .join("\n")
            .replaceAll("127.0.0.1:3000", address)
          const { code, stderr } = yield* Effect.promise(() =>
            ended(spawn("bash", ["-c", script], { cwd, env, stdio: ["ignore", "pipe", "pipe"] }))
          )
          assert.strictEqual(code, 0, stderr)
        })
      )
    }
  })

  it("names only scripts of npm that exist", () => {
    const named = pages.flatMap((page) =>
      Array.from(page.text.matchAll(/npm run (?:-s )?([a-z][a-z:-]*)/g), ([, script = ""]) => script)
    )
    assert.deepStrictEqual(
      named.filter((script) => !(script in packageJson.scripts)),
      []
    )
  })
})
