/**
 * Before all tests: the dashboard and the programs that tests start are built if they are stale, and one PostgreSQL is
 * started for all tests (see PostgresServer.ts), which test/support/Postgres.ts copies databases of.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { TestProject } from "vitest/node"
import { buildIfStale } from "./DashboardBuild.ts"
import { bundle } from "./Programs.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** A superuser's access to the server. Tests copy `database`, which is migrated, and never connect to it. */
    readonly postgres: {
      readonly socket: string
      readonly username: string
      readonly password: string
      readonly database: string
      /** A data folder to copy, in its state before the server's first start. */
      readonly data: string | undefined
    }
  }
}

/** A folder in memory on Linux. A container's may have only 64 MB, too little for databases. */
const memory = "/dev/shm"
const memoryBytes = 4 * 1024 ** 3

const isRoomy = (folder: string): boolean => {
  try {
    Fs.accessSync(folder, Fs.constants.W_OK)
    const { bavail, bsize } = Fs.statfsSync(folder)
    return bavail * bsize >= memoryBytes
  } catch {
    return false
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (Number(process.versions.node.split(".")[0]) < 24) {
    throw new Error(`the tests need Node 24, and this is ${process.version}: run them by npm (npm test -- FILE)`)
  }
  buildIfStale()
  // Each database has a thousand files, and ext4 creates files slowly if as many were removed shortly before: on a
  // disk, the system uses a third of the CPU of all tests; in memory, almost none.
  if (isRoomy(memory)) process.env["TMPDIR"] = memory
  // Workers, and the many processes that they start, reuse the code that Node compiled: a start needs a third less CPU.
  process.env["NODE_COMPILE_CACHE"] ??= Path.resolve(import.meta.dirname, "../../node_modules/.cache/idem")
  process.env["IDEM_TEST_PROGRAMS"] = await bundle()
  const { start } = await import("./PostgresServer.ts")
  const scope = Scope.makeUnsafe()
  const stop = () => Effect.runPromise(Scope.close(scope, Exit.void))
  try {
    project.provide(
      "postgres",
      await Effect.runPromise(
        start.pipe(Scope.provide(scope), Effect.provideService(References.MinimumLogLevel, "Warn"))
      )
    )
  } catch (cause) {
    await stop()
    throw cause
  }
  return stop
}
