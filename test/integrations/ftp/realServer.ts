/** Declares tests against Debian's servers. Each test has its own server and files. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Servers from "../../support/FtpServers.ts"
import { skips } from "../../support/Requirement.ts"

/**
 * Returns a function that declares tests on servers of this kind. If the server is missing, the tests are skipped with
 * the reason. `perAddress` is the number of connections that pure-ftpd allows for one address.
 */
export const testsOn = (kind: Servers.Kind) => {
  const why = Servers.missing(kind)
  const isSkipped = skips(`the tests of ${kind}`, why)
  return (
    name: string,
    test: (server: Servers.Running) => Effect.fn.Return<void, unknown, Scope.Scope>,
    perAddress?: number
  ): void => {
    if (isSkipped) it.skip(`${name} (not run: ${why})`, () => undefined)
    else {
      it.live(name, () =>
        Effect.scoped(Effect.flatMap(Servers.run(kind, perAddress), (server) => Effect.gen(() => test(server))))
      )
    }
  }
}

export const write = (server: Servers.Running, path: string | Buffer, bytes: string | Uint8Array) => {
  const below = typeof path === "string" ? Buffer.from(path) : path
  const full = Buffer.concat([Buffer.from(`${server.files}/`), below])
  const slash = full.lastIndexOf("/")
  Fs.mkdirSync(full.subarray(0, slash), { recursive: true })
  Fs.writeFileSync(full, bytes)
}

/** Sets a file's time, in whole seconds, because every server reports whole seconds. */
export const touch = (server: Servers.Running, path: string, seconds: number) =>
  Fs.utimesSync(Path.join(server.files, path), seconds, seconds)
