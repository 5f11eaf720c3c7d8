import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as CommandLine from "../cli/CommandLine.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import * as IdemProcess from "../support/IdemProcess.ts"
import * as GmailServer from "../support/GmailServer.ts"

const token = "a-token-of-this-test"

const temporary = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-remote-"))
    Fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>, cwd: string): ChildProcess =>
  spawn(process.execPath, [IdemProcess.programFile("src/main.ts"), ...args], {
    cwd,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })

const ended = (child: ChildProcess): Promise<{ readonly code: number | null; readonly stderr: string }> =>
  new Promise((resolve) => {
    let stderr = ""
    child.stderr?.on("data", (chunk) => (stderr += chunk))
    child.on("close", (code) => resolve({ code, stderr }))
  })

/** Starts `idem serve` on a new database until the scope closes, and returns its URL. */
const serving = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>, cwd: string) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => start(["serve"], env, cwd)),
    (child) => Effect.promise(() => (child.kill("SIGTERM"), ended(child)))
  )
  return yield* Effect.promise(
    () =>
      new Promise<string>((resolve, reject) => {
        let said = ""
        child.stdout?.on("data", (chunk) => {
          said += chunk
          const [, url] = /^ {2}at (http:\S+),/m.exec(said) ?? []
          if (url !== undefined) resolve(url)
        })
        child.stderr?.on("data", (chunk) => (said += chunk))
        child.on("close", () => reject(new Error(`it ended, having said: ${said}`)))
      })
  )
})

describe("the command line through a process that serves", () => {
  it.live("does without a database or a key of its own, and leaves to the server what it no longer watches", () =>
    Effect.gen(function* () {
      const gmail = yield* GmailServer.make({ accessToken: "t0ken" })
      for (let index = 0; index < 12; index++) gmail.mailbox.add({ id: `m${index}`, subject: `Letter ${index}` })
      const folder = yield* temporary
      const elsewhere = yield* temporary
      const here = { IDEM_DATA_DIR: yield* EmbeddedUser.folderWithData }
      const url = yield* serving({ ...here, PORT: "0", IDEM_API_TOKEN: token, IDEM_SOURCE_ALLOW: "127.0.0.1" }, folder)

      const there = { IDEM_URL: `${url}/`, IDEM_API_TOKEN: token }
      const app = CommandLine.ofApp()
      const remote = (...args: ReadonlyArray<string>) => app(args, { env: there })
      const config = JSON.stringify({ rootUrl: gmail.url, quota: { unitsPerMinute: 1e9 } })
      const connected = yield* remote(
        "connect",
        "gmail",
        "--name",
        "work",
        "--every",
        "1 day",
        "--config",
        config,
        "--credentials",
        '{"accessToken": "t0ken"}',
        "--json"
      )
      assert.strictEqual(connected.code, 0, connected.stderr)
      const synced = yield* Effect.promise(() =>
        IdemProcess.run(["sync", "work", "--json"], { cwd: elsewhere, env: there })
      )
      assert.strictEqual(synced.code, 0, synced.stderr)
      assert.include(JSON.parse(synced.stdout), { connection: "work", status: "succeeded", failed: 0 })

      const local = yield* app(["contents", "work", "--json"], { env: here })
      assert.strictEqual(CommandLine.json(local)["contents"].length, 12)
      assert.deepStrictEqual(yield* remote("contents", "work", "--json"), local)
      const wrong = yield* app(["status"], { env: { ...there, IDEM_API_TOKEN: "another" } })
      assert.strictEqual(wrong.code, 1)
      assert.match(
        wrong.stderr,
        /^idem: the server at IDEM_URL \(http:\/\/127\.0\.0\.1:\d+\) does not take this token[^\n]*\n$/
      )

      const asked = yield* Deferred.make<void>()
      gmail.before("messages.get", () => Deferred.doneUnsafe(asked, Effect.void))
      gmail.holds = ({ method }) => method === "messages.get"
      const watching = start(["sync", "work", "--force"], there, elsewhere)
      const watched = ended(watching)
      yield* Deferred.await(asked)
      watching.kill("SIGINT")
      const { code, stderr } = yield* Effect.promise(() => watched)
      gmail.release()
      assert.strictEqual(code, 130, stderr)
      assert.include(stderr, "no longer watching; the server continues the task: idem status work")
      // The same command follows the same task until the task has ended.
      const again = yield* remote("sync", "work", "--force", "--json")
      assert.include(CommandLine.json(again), { status: "succeeded", unchanged: 12 })
      assert.deepStrictEqual(Fs.readdirSync(elsewhere), [])
    }).pipe(Effect.scoped)
  )
})
