/**
 * The memory budget of all downloads of a process, in bytes. One half is for the start of downloads: each takes
 * `beginBytes`, enough for a small body. A larger body asks the other half once for all that it may need (its announced
 * size, or the most that is held in memory). It returns most of that when it is streamed into the blob store.
 *
 * No deadlock is possible: a download asks for its larger share once, holds nothing of that half while it waits, and
 * never asks for more. Waiting downloads are served in order. In each half, a run that holds nothing may take all
 * bytes. A run that already holds some must leave a quarter to other runs, so that large bodies of a few slow sources
 * do not stop the downloads of the others. By default, the quarter holds a small body of 32 runs.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** The bytes that each download holds from its start. */
export const beginBytes = 256 * kibibyte

/** The bytes that a streamed body holds: chunks in transit, and the part that the blob store buffers. */
export const streamBytes = mebibyte

const defaultBytes = 64 * mebibyte

/** The smallest budget: its half for larger bodies holds one body of the largest size that is kept in memory. */
const leastMebibytes = 16

/** The share of one download. */
export interface Share {
  /** The bytes that the download may hold now. */
  readonly size: () => number
  /** Waits until the download may hold this many bytes. Only the first call that exceeds `size` has an effect. */
  readonly grow: (bytes: number) => Effect.Effect<void>
  /** Returns the bytes that a stream does not need. */
  readonly stream: Effect.Effect<void>
}

/** The downloads of one run. */
interface Run {
  /** Waits for `beginBytes`. When the scope closes, all bytes of the download are returned. */
  readonly begin: Effect.Effect<Share, never, Scope.Scope>
}

export interface Budget {
  readonly run: () => Run
  /** The bytes that are in use now, for tests. */
  readonly inUse: () => number
}

/** The bytes of a pool that a run uses. */
interface Usage {
  bytes: number
}

interface Waiter {
  readonly usage: Usage
  readonly bytes: number
  /** Called when the bytes have been taken. */
  readonly onTaken: () => void
  readonly resume: () => void
}

/** A pool of bytes, which are given to runs in order. A run that already holds some leaves a quarter to the others. */
const makePool = (total: number) => {
  const reserve = Math.floor(total / 4)
  let free = total
  const waiting = new Set<Waiter>()

  const fits = ({ bytes, usage }: Waiter) => bytes <= (usage.bytes === 0 ? free : free - reserve)

  const serve = () => {
    for (const waiter of waiting) {
      if (!fits(waiter)) {
        // Later waiters may take the quarter that this run must leave, but not the bytes that the first waiter needs.
        if (waiter.usage.bytes === 0) return
        continue
      }
      waiting.delete(waiter)
      free -= waiter.bytes
      waiter.usage.bytes += waiter.bytes
      waiter.onTaken()
      waiter.resume()
    }
  }

  return {
    /** The most bytes that one `take` may ask for. */
    most: total - reserve,
    inUse: () => total - free,
    take: (usage: Usage, bytes: number, onTaken: () => void) =>
      Effect.callback<void>((resume) => {
        const waiter: Waiter = { usage, bytes, onTaken, resume: () => resume(Effect.void) }
        waiting.add(waiter)
        serve()
        return Effect.sync(() => void waiting.delete(waiter))
      }),
    giveBack: (usage: Usage, bytes: number) => {
      if (bytes <= 0) return
      usage.bytes -= bytes
      free += bytes
      serve()
    }
  }
}

export const make = (total: number): Budget => {
  const small = makePool(Math.floor(total / 2))
  const large = makePool(total - Math.floor(total / 2))
  return {
    inUse: () => small.inUse() + large.inUse(),
    run: () => {
      const begun: Usage = { bytes: 0 }
      const grown: Usage = { bytes: 0 }
      return {
        begin: Effect.flatMap(Effect.scope, (scope) => {
          const held = { begun: 0, grown: 0 }
          const keep = (bytes: number) => {
            const more = Math.max(0, held.grown - bytes)
            held.grown -= more
            large.giveBack(grown, more)
          }
          // The finalizer needs no services: `acquireRelease` would copy all of them for each download.
          const end = Effect.sync(() => {
            small.giveBack(begun, held.begun)
            keep(0)
          })
          const share: Share = {
            size: () => beginBytes + held.grown,
            grow: (bytes) =>
              Effect.suspend(() => {
                if (held.grown > 0 || bytes <= beginBytes) return Effect.void
                const more = Math.min(bytes - beginBytes, large.most)
                return large.take(grown, more, () => void (held.grown = more))
              }),
            stream: Effect.sync(() => keep(streamBytes))
          }
          return Scope.addFinalizer(scope, end).pipe(
            Effect.andThen(small.take(begun, beginBytes, () => void (held.begun = beginBytes))),
            Effect.as(share)
          )
        })
      }
    }
  }
}

/** The budget of the process. A layer can replace it. */
export const DownloadBudget = Context.Reference<Budget>("idem/engine/sync/DownloadBudget", {
  defaultValue: () => make(defaultBytes)
})

const setting = Config.schema(
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: leastMebibytes, maximum: 65_536 }))),
  "IDEM_DOWNLOAD_MEMORY_MB"
).pipe(Config.withDefault(defaultBytes / mebibyte))

/** Provides a budget of `IDEM_DOWNLOAD_MEMORY_MB` mebibytes; default 64. */
export const layer: Layer.Layer<never, Config.ConfigError> = Layer.effect(
  DownloadBudget,
  Effect.map(setting, (megabytes) => make(megabytes * mebibyte))
)
