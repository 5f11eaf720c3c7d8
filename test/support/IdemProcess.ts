/** Runs the command line as a process, in a given folder and with a given environment. */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

export const repository = Path.resolve(import.meta.dirname, "../..")

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Options {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Returns the file that Node runs for a program of the repository: the program's bundle in a test run (see
 * Programs.ts).
 */
export const programFile = (source: string): string => {
  const bundles = process.env["IDEM_TEST_PROGRAMS"]
  return bundles === undefined ? Path.join(repository, source) : Path.join(bundles, source.replace(/\.ts$/, ".js"))
}

/**
 * Returns the file that Node runs for the command line. A config file shares modules with the sources, but not with the
 * bundle, unless it is bundled with the command line.
 */
const commandLine = ({ cwd, env }: Options): string => {
  const config = env?.["IDEM_CONFIG"]
  const isBundled = config?.startsWith(programFile("test/")) ?? !Fs.existsSync(Path.join(cwd ?? ".", "idem.config.ts"))
  return isBundled ? programFile("src/main.ts") : Path.join(repository, "src/main.ts")
}

const spawnFile = (file: string, args: ReadonlyArray<string>, options: Options) =>
  spawn(process.execPath, [file, ...args], {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...options.env },
    stdio: ["ignore", "pipe", "pipe"]
  })

const endOf = (child: ReturnType<typeof spawnFile>): Promise<Ended> =>
  new Promise((resolve, reject) => {
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => (stdout += chunk))
    child.stderr.on("data", (chunk) => (stderr += chunk))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

/** Runs a file to its end. */
export const runFile = (file: string, args: ReadonlyArray<string>, options: Options): Promise<Ended> =>
  endOf(spawnFile(file, args, options))

/** Starts the command line. */
export const start = (args: ReadonlyArray<string>, options: Options = {}) => {
  const child = spawnFile(commandLine(options), args, options)
  return { child, ended: endOf(child) }
}

/** Starts `idem serve`, which is killed when the scope closes, and waits until it serves. */
export const serve = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const { child, ended } = yield* Effect.acquireRelease(
      Effect.sync(() => start(["serve"], { env })),
      ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
    )
    yield* Effect.callback<void>((resume) => {
      child.stdout.once("data", () => resume(Effect.void))
      void ended.then(({ stderr }) => resume(Effect.die(new Error(`serve ended: ${stderr}`))))
    })
    return { child, ended }
  })

/** Runs a program of the repository to its end. */
export const runProgram = (source: string, args: ReadonlyArray<string>): Promise<Ended> =>
  runFile(Path.join(repository, source), args, {})

/** Runs the command line to its end. */
export const run = (args: ReadonlyArray<string>, options: Options = {}): Promise<Ended> => start(args, options).ended

/** Creates a temporary folder, which is removed after `use`. */
export const inFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-"))
  Fs.chmodSync(folder, 0o755)
  try {
    await use(folder)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}
