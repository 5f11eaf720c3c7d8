/** The programs of a PostgreSQL of the system, which can be started in place of the embedded ones. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Binaries } from "../../src/stores/embedded/Binaries.ts"

/**
 * Returns programs of this major version in Debian's folder. They are started by scripts, which leave out arguments for
 * the embedded version that an older version does not know.
 */
export const find = Effect.fnUntraced(function* (major: string): Effect.fn.Return<Binaries, never, Scope.Scope> {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "idem-postgresql-"))),
    (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
  )
  const script = (name: string, unknown: string) =>
    Effect.promise(async () => {
      const program = Path.join("/usr/lib/postgresql", major, "bin", name)
      await Fs.access(program, Fs.constants.X_OK)
      const file = Path.join(folder, name)
      const lines = [
        "#!/bin/sh",
        "for argument do",
        "  shift",
        `  case $argument in ${unknown} *) set -- "$@" "$argument";; esac`,
        "done",
        `exec ${program} "$@"`
      ]
      await Fs.writeFile(file, `${lines.join("\n")}\n`, { mode: 0o755 })
      return file
    })
  yield* Effect.promise(() => Fs.chmod(folder, 0o755))
  return {
    initdb: yield* script("initdb", "--locale-provider=*|--builtin-locale=*) ;;"),
    postgres: yield* script("postgres", 'io_method=*) set -- "$@" jit=off;;'),
    major
  }
})
