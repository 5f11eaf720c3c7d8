/**
 * The memory budget of all downloads of a process, in bytes. One half is for downloads that begin: each takes
 * `beginBytes`, enough for a small body, so that small bodies never wait for large ones. A larger body asks once, of
 * the other half, for all that it may hold (its announced size, or the most that is held in memory). It gives most of
 * that back when it continues as a stream into the blob store.
 *
 * No deadlock is possible: a download asks for its larger share once, holds nothing of that half while it waits, and
 * never asks for more. Waiting downloads are served in order. A run that holds nothing of that half may use all of it.
 * A run that holds some must leave a quarter to the others, so that a few slow sources do not stop all large bodies.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** The bytes that each download holds from its beginning. */
export const beginBytes = 256 * kibibyte

/** The bytes that a streamed body holds: chunks in transit, and the part that the blob store gathers. */
export const streamBytes = mebibyte

const defaultBytes = 64 * mebibyte

/** Below this the larger half holds not one body of the size that is kept in memory. */
const leastMebibytes = 16

/** The share of one download. */
export interface Share {
  /** Bytes that it may hold now. */
  readonly size: () => number
  /**
   * Waits until the download may hold so many bytes. The first call that exceeds `size` is the only one that counts.
   */
  readonly grow: (bytes: number) => Effect.Effect<void>
  /** Gives back what a stream does not need. */
  readonly stream: Effect.Effect<void>
}

/** The downloads of one run. */
interface Run {
  /** Waits for `beginBytes`. All that the download holds is given back when the scope ends. */
  readonly begin: Effect.Effect<Share, never, Scope.Scope>
}

export interface Budget {
  readonly run: () => Run
  /** Bytes that are held now: for tests. */
  readonly held: () => number
}

interface Waiter {
  readonly run: { held: number }
  readonly share: { grown: number }
  readonly bytes: number
  readonly resume: () => void
}

export const make = (total: number): Budget => {
  const small = Semaphore.makeUnsafe(Math.floor(total / 2 / beginBytes))
  const large = total - Math.floor(total / 2)
  const reserve = Math.floor(large / 4)
  let free = large
  let begun = 0
  const waiting = new Set<Waiter>()

  const fits = ({ bytes, run }: Waiter) => bytes <= (run.held === 0 ? free : free - reserve)

  const serve = () => {
    for (const waiter of waiting) {
      if (!fits(waiter)) {
        // Later waiters may take the quarter that this run must leave, but not the bytes that the first waiter needs.
        if (waiter.run.held === 0) return
        continue
      }
      waiting.delete(waiter)
      free -= waiter.bytes
      waiter.run.held += waiter.bytes
      waiter.share.grown = waiter.bytes
      waiter.resume()
    }
  }

  return {
    held: () => begun * beginBytes + large - free,
    run: () => {
      const run = { held: 0 }
      const giveBack = (share: { grown: number }, left: number) => {
        const bytes = Math.max(0, share.grown - left)
        share.grown -= bytes
        run.held -= bytes
        free += bytes
        if (bytes > 0) serve()
      }
      return {
        begin: Effect.gen(function* () {
          yield* small.takeScoped(1)
          const share = { grown: 0 }
          begun++
          // The finalizer needs no services: \`acquireRelease\` would copy all of them for each download.
          const end = Effect.sync(() => {
            begun--
            giveBack(share, 0)
          })
          yield* Scope.addFinalizer(yield* Effect.scope, end)
          return {
            size: () => beginBytes + share.grown,
            grow: (bytes) =>
              Effect.suspend(() => {
                if (share.grown > 0 || bytes <= beginBytes) return Effect.void
                return Effect.callback<void>((resume) => {
                  const waiter: Waiter = {
                    run,
                    share,
                    bytes: Math.min(bytes - beginBytes, large - reserve),
                    resume: () => resume(Effect.void)
                  }
                  waiting.add(waiter)
                  serve()
                  return Effect.sync(() => void waiting.delete(waiter))
                })
              }),
            stream: Effect.sync(() => giveBack(share, streamBytes))
          } satisfies Share
        })
      }
    }
  }
}

/** The budget of the whole process. A layer can replace it. */
export const DownloadBudget = Context.Reference<Budget>("idem/engine/sync/DownloadBudget", {
  defaultValue: () => make(defaultBytes)
})

const setting = Config.schema(
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: leastMebibytes, maximum: 65_536 }))),
  "IDEM_DOWNLOAD_MEMORY_MB"
).pipe(Config.withDefault(defaultBytes / mebibyte))

/** A budget of `IDEM_DOWNLOAD_MEMORY_MB` megabytes, 64 by default. */
export const layer: Layer.Layer<never, Config.ConfigError> = Layer.effect(
  DownloadBudget,
  Effect.map(setting, (megabytes) => make(megabytes * mebibyte))
)
