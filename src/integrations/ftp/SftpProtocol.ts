/** Requests of SFTP version 3 as promises (draft-ietf-secsh-filexfer-02), with their replies classified. */
import * as Effect from "effect/Effect"
import type SftpClient from "ssh2-sftp-client"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Remote from "./Remote.ts"
import * as Errors from "../server/Errors.ts"

/** The bytes of one listed name besides its text: its attributes and lengths. */
const nameOverhead = 40

/** The most replies to READDIR without a name. A server ends a folder with EOF, so empty replies are rare. */
const maxEmptyAnswers = 10

/** The type bits of a file's mode (POSIX). */
const typeBits = 0o170000
const kinds: ReadonlyMap<number, Remote.Entry["kind"]> = new Map([
  [0o100000, "file"],
  [0o040000, "folder"],
  [0o120000, "link"]
])

export type Protocol = Awaited<ReturnType<SftpClient["connect"]>>

export interface Attributes {
  readonly mode?: number
  readonly size: number
  readonly mtime: number
}

interface ListedName {
  readonly filename: string
  readonly longname: string
  readonly attrs: Attributes
}

export const ask = <A>(request: (done: (error: Error | null | undefined, answer: A) => void) => unknown): Promise<A> =>
  new Promise((resolve, reject) => {
    request((error, answer) => (error ? reject(error) : resolve(answer)))
  })

const kindsInLongNames: ReadonlyMap<string, Remote.Entry["kind"]> = new Map([
  ["-", "file"],
  ["d", "folder"],
  ["l", "link"]
])

/**
 * Returns the type of a name; undefined if the server does not report it. Some servers on Windows leave it out of the
 * permissions, and have it only in the long name of a listing, in the form of `ls -l` (apache/mina-sshd#489).
 */
export const kindOf = ({ mode = 0 }: Attributes, longname = ""): Remote.Entry["kind"] | undefined =>
  (mode & typeBits) === 0 ? kindsInLongNames.get(longname.charAt(0)) : (kinds.get(mode & typeBits) ?? "other")

export const statOf = (attributes: Attributes): Remote.Stat => ({
  size: Number.isSafeInteger(attributes.size) ? attributes.size : undefined,
  // The protocol's version 3 has seconds since 1970 in 32 bits. They are optional.
  modified: Number.isSafeInteger(attributes.mtime)
    ? `${new Date(attributes.mtime * 1000).toISOString().slice(0, 19)}Z`
    : undefined
})

/** Codes of SSH_FXP_STATUS, of which `ssh2` makes errors. */
export const status = { end: 1, missing: 2, forbidden: 3, failure: 4 }

/** Runs a request within its time limit, and classifies its failure. `what` names the request in messages. */
export type Attempt = <A>(what: string, run: () => Promise<A>) => Effect.Effect<A, IntegrationError>

/** Reads all names of a folder, at most `Remote.maxListingBytes` of them. */
export const readNames = (
  sftp: Protocol,
  folder: string,
  { attempt, server, what }: { readonly attempt: Attempt; readonly server: string; readonly what: string }
) =>
  Effect.acquireUseRelease(
    attempt(what, () => ask<Buffer>((done) => sftp.opendir(folder, done))),
    Effect.fnUntraced(function* (handle) {
      const names: Array<ListedName> = []
      let bytes = 0
      let empty = 0
      while (true) {
        const some = yield* attempt(what, () =>
          ask<ReadonlyArray<ListedName> | undefined>((done) =>
            sftp.readdir(handle, (error, found) =>
              Errors.codeOf(error) === status.end ? done(undefined, undefined) : done(error, found)
            )
          )
        )
        if (some === undefined) return names
        if (some.length === 0 && ++empty > maxEmptyAnswers) {
          return yield* Effect.fail(Errors.malformed(`${server}: ${what}: the server sends empty answers without end`))
        }
        for (const name of some) {
          bytes += Buffer.byteLength(name.filename) + Buffer.byteLength(name.longname) + nameOverhead
          names.push(name)
        }
        if (bytes > Remote.maxListingBytes) {
          const message = `its listing is longer than ${Remote.maxListingBytes} bytes`
          return yield* Effect.fail(Errors.malformed(`${server}: ${what}: ${message}`))
        }
      }
    }),
    (handle) => Effect.sync(() => sftp.close(handle, () => undefined))
  )

/** Reads `length` bytes from this position, or fewer at the end of the file. */
export const readBytes = async (sftp: Protocol, handle: Buffer, position: number, length: number): Promise<Buffer> => {
  const bytes = Buffer.allocUnsafeSlow(length)
  let got = 0
  while (got < length) {
    const count = await ask<number>((done) =>
      sftp.read(handle, bytes, got, length - got, position + got, (error, count) =>
        Errors.codeOf(error) === status.end ? done(undefined, 0) : done(error, count)
      )
    )
    if (count === 0) break
    got += count
  }
  return bytes.subarray(0, got)
}
