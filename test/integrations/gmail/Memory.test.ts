import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as CommandLine from "../../cli/CommandLine.ts"
import * as IdemProcess from "../../support/IdemProcess.ts"

const megabyte = 1024 * 1024

const temporary = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-large-"))
    Fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

/** Waits for a process to end. */
const ended = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) resume(Effect.void)
    else child.on("close", () => resume(Effect.void))
  })

/** Starts a script that runs until the scope closes or until `stop`, and waits for this text in its output. */
const started = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd: string; readonly says: string }
) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, args, {
        cwd: options.cwd,
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...options.env },
        stdio: ["pipe", "pipe", "pipe"]
      })
    ),
    (child) =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGTERM")),
        ended(child)
      )
  )
  const said = yield* Effect.callback<string>((resume) => {
    let text = ""
    const hear = (chunk: unknown) => {
      text += String(chunk)
      if (text.includes(options.says)) resume(Effect.succeed(text))
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    child.on("close", () => resume(Effect.die(new Error(`it ended, having said: ${text}`))))
  })
  return { child, said }
})

const script = (path: string) => Path.join(IdemProcess.repository, path)

it.live("four messages of 35 MB are never in the memory of `idem serve` together", () =>
  Effect.gen(function* () {
    const folder = yield* temporary
    const mailbox = yield* started([script("test/support/gmail/largeMailbox.ts"), "4", String(35 * megabyte)], {
      env: {},
      cwd: folder,
      says: "\n"
    })
    const peakFile = Path.join(folder, "peak")
    const server = yield* started(
      [
        "--expose-gc",
        "--import",
        script("test/support/peakMemory.ts"),
        IdemProcess.programFile("src/main.ts"),
        "serve"
      ],
      {
        env: {
          IDEM_DATA_DIR: Path.join(folder, "data"),
          PORT: "0",
          // The connection is created through the server.
          IDEM_SOURCE_ALLOW: "127.0.0.1",
          PEAK_FILE: peakFile
        },
        cwd: folder,
        says: "polling"
      }
    )
    const [, url = ""] = /^ {2}at (http:\S+),/m.exec(server.said) ?? []
    const app = CommandLine.ofApp()
    const idem = (...args: ReadonlyArray<string>) => app(args, { env: { IDEM_URL: url } })
    const config = JSON.stringify({ rootUrl: mailbox.said.trim(), quota: { unitsPerMinute: 1e9 } })
    const credentials = JSON.stringify({ accessToken: "token" })
    const args = ["--name", "large", "--every", "1 day", "--config", config, "--credentials", credentials]
    const connected = yield* idem("connect", "gmail", ...args)
    assert.strictEqual(connected.code, 0, connected.stderr)
    const synced = yield* idem("sync", "large", "--json")
    assert.strictEqual(synced.code, 0, synced.stderr)
    const { contents } = CommandLine.json(yield* idem("contents", "large", "--json")) as {
      readonly contents: ReadonlyArray<{ readonly title: string; readonly size: number }>
    }
    assert.deepStrictEqual(
      contents.map(({ size }) => size),
      Array.from({ length: 4 }, () => 35 * megabyte)
    )
    assert.sameMembers(
      contents.map(({ title }) => title),
      Array.from({ length: 4 }, (_, index) => `Large ${index}`)
    )
    server.child.kill("SIGTERM")
    yield* ended(server.child)
    assert.isBelow(Number(Fs.readFileSync(peakFile, "utf8")), 4 * 35 * megabyte)
  }).pipe(Effect.scoped)
)
