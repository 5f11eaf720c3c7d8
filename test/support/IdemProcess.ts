/** The command line as a process, in a folder and with an environment of its own. */
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

/** Runs a program of the repository to its end. */
export const runProgram = (program: string, args: ReadonlyArray<string>, options: Options = {}): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [Path.join(repository, program), ...args], {
      cwd: options.cwd,
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...options.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => (stdout += chunk))
    child.stderr.on("data", (chunk) => (stderr += chunk))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

export const run = (args: ReadonlyArray<string>, options?: Options): Promise<Ended> =>
  runProgram("src/main.ts", args, options)

/** A temporary folder that is gone after `use`. */
export const inFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-"))
  Fs.chmodSync(folder, 0o755)
  try {
    await use(folder)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}
