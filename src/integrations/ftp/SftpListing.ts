/** Lists a folder by SFTP: its names, and the targets of its links. */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Errors from "../server/Errors.ts"
import * as Names from "./Names.ts"
import * as Remote from "./Remote.ts"
import { ask, type Attempt, type Attributes, kindOf, type Protocol, readNames, statOf } from "./SftpProtocol.ts"

interface Options {
  readonly sftp: Protocol
  readonly attempt: Attempt
  readonly server: string
  readonly folder: string
  /** The real path of the folder. */
  readonly real: string
  /** Returns the real path of a path below the root; undefined if it is outside of the root. */
  readonly realPath: (path: string) => Effect.Effect<string | undefined, IntegrationError>
}

/** Returns true for a failure of the connection, which later requests would meet too. */
const isOfConnection = (error: IntegrationError): boolean =>
  error.reason._tag === "Transient" && !(error instanceof Errors.ServerFailure)

/**
 * Lists the names. A link that leads nowhere, or out of the root, stays a link, which is not followed. A name that the
 * server refuses to look up is `unread`. A failure of the connection fails the listing.
 */
export const list = Effect.fnUntraced(function* ({ attempt, folder, real, realPath, server, sftp }: Options) {
  const what = `listing ${Remote.quote(folder)}`
  const entries = new Map<string, Remote.Entry>()
  const problems: Array<string> = []
  const unread: Array<string> = []
  const lookAt = (of: string, path: string) =>
    attempt(`looking at ${of}`, () => ask<Attributes>((done) => sftp.lstat(path, done)))
  const unfollowed = (name: string, message: string) => {
    problems.push(`the link ${JSON.stringify(name)} was not followed: ${message}`)
  }

  /** Looks up a name, and continues by the result. */
  const decide = <A>(
    answer: Effect.Effect<A, IntegrationError>,
    name: string,
    handle: {
      readonly found: (answer: A) => void
      readonly gone: (error: IntegrationError) => void
      readonly refused: (error: IntegrationError) => void
    }
  ) =>
    Effect.matchEffect(answer, {
      onSuccess: (found) => Effect.sync(() => handle.found(found)),
      onFailure: (error) => {
        if (isOfConnection(error)) return Effect.fail(error)
        return Effect.sync(() => {
          if (error.reason._tag === "Gone") return handle.gone(error)
          unread.push(name)
          handle.refused(error)
        })
      }
    })

  const follow = Effect.fnUntraced(function* (path: string) {
    const target = yield* realPath(path)
    return target === undefined ? undefined : yield* lookAt(Remote.quote(path), target)
  })

  const names = yield* Effect.catchReason(
    readNames(sftp, real || "/", { attempt, server, what }),
    "IntegrationError",
    "Transient",
    (_reason, error) =>
      // Version 3 has one code for all other failures. If the path is no longer a folder, it is not retried.
      Effect.flatMap(lookAt(Remote.quote(folder), real || "/"), (attributes) =>
        Effect.fail(
          (kindOf(attributes) ?? "folder") === "folder" ? error : Errors.gone(`${server}: ${what}: not a folder`)
        )
      )
  )
  const add = (name: string, attributes: Attributes, longname?: string) => {
    const kind = kindOf(attributes, longname)
    if (kind !== undefined) {
      entries.set(name, { name, kind, ...statOf(attributes) })
      return
    }
    entries.delete(name)
    unread.push(name)
    problems.push(`${JSON.stringify(name.slice(0, 200))} was left out: the server does not report its type`)
  }
  for (const { attrs, filename, longname } of names) {
    const name = Names.encode(Buffer.from(filename, "utf8"))
    const leaveOut = (why: string) => problems.push(`${JSON.stringify(filename.slice(0, 200))} was left out: ${why}`)
    const problem = Names.nameProblem(filename)
    if (problem !== undefined) leaveOut(problem)
    // A name that is not UTF-8 also contains the replacement character, but the server does not find it.
    else if (filename.includes("\uFFFD")) {
      yield* decide(lookAt("a name", `${real}/${filename}`), name, {
        found: () => add(name, attrs, longname),
        gone: () => leaveOut("its name is not UTF-8, SFTP can't ask for it"),
        refused: ({ message }) => leaveOut(message)
      })
    } else add(name, attrs, longname)
  }
  for (const { kind, name } of entries.values()) {
    if (kind !== "link") continue
    const path = Names.join(folder, name)
    yield* decide(follow(path), name, {
      found: (target) => {
        if (target === undefined) unfollowed(name, `${server}: ${Remote.quote(path)} leads out of the root`)
        else add(name, target)
      },
      gone: ({ message }) => unfollowed(name, message),
      refused: ({ message }) => unfollowed(name, message)
    })
  }
  const listing: Remote.Listing = { entries: [...entries.values()], problems, unread, identity: real }
  return listing
})
