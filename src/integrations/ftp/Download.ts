/** Downloads a file, and checks that it is complete and did not change while it was read. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Config } from "./Config.ts"
import { clockAheadMillis, differ, instant, isChanged, storedRevision } from "./FileTimes.ts"
import * as Names from "./Names.ts"
import * as Remote from "./Remote.ts"
import * as Errors from "../server/Errors.ts"
import type * as Walk from "./Walk.ts"

/** A file up to this many bytes is read into memory, a larger one streamed. */
const inlineBytes = 262_144

/** How many listed files are remembered until they are downloaded: some pages. */
const maxRemembered = 5_000

/** A listed file, and when it was listed, in milliseconds since 1970. */
interface Listed extends Remote.Stat {
  readonly listedAt: number
}

export const make = (config: Config, remote: Remote.Remote) => {
  const settle = Duration.toMillis(config.settle ?? Duration.zero)
  /** The listed size and time of files that will be downloaded. If a file differs by then, it is being written. */
  const remembered = new Map<string, Listed>()

  const remember = ({ path, size, modified }: Walk.Found, listedAt: number) => {
    remembered.delete(path)
    remembered.set(path, { size, modified, listedAt })
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRemembered) break
      remembered.delete(oldest)
    }
  }

  const download = Effect.fnUntraced(function* (ref: Ref): Effect.fn.Return<Content, IntegrationError> {
    const path = ref.externalId
    const problem = Names.pathProblem(path)
    if (problem !== undefined) return yield* Effect.fail(Errors.malformed(`${Remote.quote(path)}: ${problem}`))
    const listed = remembered.get(path)
    remembered.delete(path)
    const listedAt = listed?.listedAt ?? (yield* Clock.currentTimeMillis)
    const before: Remote.Stat =
      listed === undefined || Remote.revisionOf(listed) === undefined ? yield* remote.stat(path) : listed
    yield* checkSettled(path, listed, before)
    const { size } = before
    if (size !== undefined && config.maxFileSize !== undefined && size > config.maxFileSize) {
      const message = `${Remote.quote(path)} has ${size} bytes, more than "maxFileSize"`
      return yield* Effect.fail(Errors.tooLarge(message))
    }
    const body = checked(path, before)
    const { name } = Names.split(path)
    return {
      kind: "file",
      title: name,
      occurredAt: Option.getOrUndefined(instant(before.modified)),
      metadata: { path, name, ...(size === undefined ? {} : { size }) },
      // In `volatile`, because touching a file does not change its content.
      volatile: before.modified === undefined ? {} : { modified: before.modified },
      body: size !== undefined && size <= inlineBytes ? Buffer.concat(yield* Stream.runCollect(body)) : body,
      revision: storedRevision(before, listedAt)
    }
  })

  const checkSettled = Effect.fnUntraced(function* (
    path: string,
    listed: Remote.Stat | undefined,
    before: Remote.Stat
  ) {
    if (differ(listed?.size, before.size)) {
      return yield* Effect.fail(Errors.unsettled(`${Remote.quote(path)} changed after it was listed`))
    }
    const time = Option.getOrUndefined(instant(before.modified))
    if (settle === 0 || time === undefined) return
    const age = (yield* Clock.currentTimeMillis) - DateTime.toEpochMillis(time)
    // A time in the future does not show when the file was written.
    if (age < settle && age > -clockAheadMillis) {
      return yield* Effect.fail(Errors.unsettled(`${Remote.quote(path)} was written less than "settle" ago`))
    }
  })

  /**
   * Streams the bytes, and stops if there are more than announced: a small file is read into memory, and may have grown
   * to any size since it was listed. Fails at the end if the file has changed meanwhile, or if its size differs.
   */
  const checked = (path: string, before: Remote.Stat): Stream.Stream<Uint8Array, IntegrationError> =>
    Stream.suspend(() => {
      let bytes = 0
      const counted = Stream.tap(remote.read(path, before), (chunk) => {
        bytes += chunk.length
        // Reading a body without a pause would keep the event loop so busy that memory is freed late: a file of 1 GB
        // took 30 to 40 MB more.
        return Effect.yieldNow
      })
      const verified = Effect.gen(function* () {
        const after = yield* remote.stat(path)
        if (isChanged(before, after)) {
          return yield* Effect.fail(Errors.unsettled(`${Remote.quote(path)} changed while it was read`))
        }
        const size = after.size ?? before.size
        if (size !== undefined && size !== bytes) {
          const message = `${Remote.quote(path)}: ${bytes} ${bytes < size ? "of its" : "instead of its"} ${size} bytes`
          return yield* Effect.fail(Errors.transient(`${message} were received`))
        }
      })
      const announced = Stream.takeUntil(counted, () => before.size !== undefined && bytes > before.size)
      return Stream.concat(announced, Stream.fromEffectDrain(verified))
    })

  return { remember, download }
}
