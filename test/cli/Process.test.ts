import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const main = Path.resolve(import.meta.dirname, "../../src/main.ts")

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (args: ReadonlyArray<string>, env: Record<string, string> = {}): ChildProcess =>
  spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })

const ended = (child: ChildProcess): Promise<Ended> =>
  new Promise((resolve) => {
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk) => (stdout += chunk))
    child.stderr?.on("data", (chunk) => (stderr += chunk))
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

const idem = (args: ReadonlyArray<string>, env: Record<string, string> = {}): Promise<Ended> => ended(start(args, env))

/** Resolves once the child has written this to stdout. */
const said = (child: ChildProcess, text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    let seen = ""
    child.stdout?.on("data", (chunk) => {
      seen += chunk
      if (seen.includes(text)) resolve()
    })
    child.on("close", () => reject(new Error(`it ended, having said: ${seen}`)))
  })

describe("the process", () => {
  it("ends with the codes of its commands, each error in one line", async () => {
    assert.deepStrictEqual(await idem(["--version"]), { code: 0, stdout: "idem v0.1.0\n", stderr: "" })
    const wrong = await idem(["snyc"])
    assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
    assert.match(wrong.stderr, /^idem: there is no command "snyc"[^\n]*\n$/)
    const away = await idem(["status", "--json"], {
      DATABASE_URL: "postgresql://me:hunter2@127.0.0.1:1/idem",
      IDEM_SECRET_KEY: "00".repeat(32)
    })
    assert.strictEqual(away.code, 1)
    assert.include(JSON.parse(away.stdout).error.message, "127.0.0.1:1")
    assert.strictEqual(away.stderr.split("\n").length, 2, away.stderr)
    assert.notInclude(away.stdout + away.stderr, "hunter2")
  })

  it("ends with 2 if a setting is not valid, before it opens the database", async () => {
    const database = { DATABASE_URL: "postgresql://me@127.0.0.1:1/idem", IDEM_SECRET_KEY: "00".repeat(32) }
    const cases = [
      [
        { IDEM_SOURCE_ALLOW: "10.0.0.0/99" },
        /^idem: IDEM_SOURCE_ALLOW: "10\.0\.0\.0\/99" is not a host, address or net/
      ],
      [{ DATABASE_URL: `${database.DATABASE_URL}?sslmod=require` }, /^idem: DATABASE_URL: .* did you mean sslmode\?\n$/]
    ] as const
    for (const [setting, expected] of cases) {
      for (const command of ["serve", "status", "sync me"]) {
        const { code, stderr } = await idem(command.split(" "), { ...database, ...setting })
        assert.strictEqual(code, 2, stderr)
        assert.match(stderr, expected)
      }
    }
  })

  it("loads neither the database, the engine nor the tables for help, the version and wrong usage", async () => {
    const hook = [
      'import { registerHooks } from "node:module"',
      "const loaded = []",
      "registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })",
      'process.on("exit", () => process.stderr.write("LOADED" + JSON.stringify(loaded)))'
    ].join("\n")
    const options = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(hook)}` }
    for (const args of [["--version"], ["--help"], ["sync"], ["snyc"]]) {
      const { stderr } = await idem(args, options)
      const loaded = JSON.parse(stderr.slice(stderr.indexOf("LOADED") + 6)) as ReadonlyArray<string>
      assert.isTrue(loaded.some((url) => url.endsWith("/src/cli/Cli.ts")))
      const wrong = loaded.filter((url) =>
        /\/src\/(App\.ts|stores\/|engine\/sync\/|http\/client\/(?!Api|Server)|cli\/Table\.ts)/.test(url)
      )
      assert.deepStrictEqual(wrong, [], args.join(" "))
    }
  })

  it("ends quietly where nobody reads its output", async () => {
    const child = start(["--help"])
    child.stdout?.destroy()
    const { code, stderr } = await ended(child)
    assert.deepStrictEqual([code, stderr], [0, ""])
  })
})

describe("the process, on a database of its own", () => {
  let folder = ""
  beforeAll(() => {
    folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-cli-"))
    Fs.chmodSync(folder, 0o755)
  })
  afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

  it("serves until it is told to stop, while other commands work beside it", async () => {
    const env = { IDEM_DATA_DIR: Path.join(folder, "data"), PORT: "0" }
    const serving = start(["serve"], env)
    const stopped = ended(serving)
    await said(serving, "serving")
    const list = await idem(["connections", "--json"], env)
    assert.deepStrictEqual([list.code, list.stdout], [0, '{"connections":[]}\n'], list.stderr)
    const migrated = JSON.parse((await idem(["migrate", "--json"], env)).stdout)
    assert.strictEqual(migrated.before, migrated.after)
    const unknown = await idem(["sync", "work", "--json"], env)
    assert.strictEqual(unknown.code, 2)
    assert.include(JSON.parse(unknown.stdout).error, { reason: "UnknownConnection" })
    serving.kill("SIGTERM")
    const { code, stderr } = await stopped
    assert.strictEqual(code, 0, stderr)
  })
})
