/** Runs one of PostgreSQL's programs until it ends. */
import * as Effect from "effect/Effect"
import * as ChildProcess from "node:child_process"
import { codeOf } from "../../engine/SystemErrors.ts"
import { EmbeddedError } from "./EmbeddedError.ts"
import type { ServerUser } from "./DataLocation.ts"

/**
 * Runs programs in `/`, because the server's user may not be able to enter the present folder, and with a fixed
 * language and time zone.
 */
export const spawnOptions = (user: ServerUser | undefined) => ({
  cwd: "/",
  env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C", TZ: "UTC" },
  ...user
})

export const spawnFailure = (program: string, cause: Error): EmbeddedError =>
  new EmbeddedError({
    message:
      codeOf(cause) === "ENOENT"
        ? `${program} can't be run here (it needs glibc on Linux): set DATABASE_URL`
        : `${program} can't be run: ${cause.message}`
  })

/**
 * Returns the first line of a PostgreSQL program's output that names an error. Later lines are only its consequences.
 */
export const reasonIn = (output: string): string => {
  if (/No space left on device|Check free disk space/.test(output)) return "the disk is full"
  const lines = output.split("\n").filter((line) => line.trim() !== "")
  const line = lines.find((line) => /\b(FATAL|PANIC|ERROR|error):/.test(line)) ?? lines.at(-1) ?? "it said nothing"
  return line.replace(/^.*?\b(?:FATAL|PANIC|ERROR|error):\s*/, "")
}

/** Runs a program. Fails with its own error message if it fails. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly user: ServerUser | undefined; readonly what: string; readonly input: string }
): Effect.Effect<void, EmbeddedError> =>
  Effect.callback<void, EmbeddedError>((resume) => {
    const child = ChildProcess.spawn(program, args, { ...spawnOptions(options.user), stdio: ["pipe", "pipe", "pipe"] })
    let output = ""
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-16_384)
    }
    child.stdout.on("data", keep)
    child.stderr.on("data", keep)
    // If a program ends before it has read all of its input, its exit code reports that.
    child.stdin.on("error", () => undefined)
    child.stdin.end(options.input)
    child.on("error", (cause) => resume(Effect.fail(spawnFailure(program, cause))))
    child.on("close", (code) =>
      resume(
        code === 0 ? Effect.void : Effect.fail(new EmbeddedError({ message: `${options.what}: ${reasonIn(output)}` }))
      )
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
