/**
 * How many slices of a process run at the same time. A slot is for a slice that works: one that only waits for quota lends
 * its slot to another and takes it back, without a wait, when its time has come. So a hundred accounts that trickle at
 * their quota's pace hold nothing up.
 *
 * Backfills (slices of a connection that had more to do than fitted into its last slice) have a share of the slots: what
 * is left is for polls, which therefore never wait for backfills to end, however many there are. Within these bounds it
 * is first come, first served.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"

export type Kind = "poll" | "backfill"

export interface Bounds {
  /** Slices that work. Times `Limits.concurrency` it bounds the downloads in flight. */
  readonly working: number
  /** Slices begun, with those that wait for quota: each may hold an open batch. */
  readonly begun: number
  /** How many of either may be backfills. */
  readonly workingBackfills: number
  readonly begunBackfills: number
}

const defaults: Bounds = { working: 32, begun: 128, workingBackfills: 24, begunBackfills: 96 }

/** What a slice says of its calls, so that its slot is known to be free while it only waits. */
export interface Turn {
  /** One call to the source, from its admission to its answer. */
  readonly calling: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The part of a call before it is admitted. */
  readonly admitting: <A, E, R>(admission: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The part of that which waits for time to pass. */
  readonly sleeping: <A, E, R>(sleep: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** The turn of the slice that runs here; outside of any, nobody waits for it. */
export const Turn = Context.Reference<Turn>("idem/engine/schedule/ConcurrencyLimiter/Turn", {
  defaultValue: () => ({ calling: (call) => call, admitting: (part) => part, sleeping: (part) => part })
})

interface Entry {
  readonly kind: Kind
  readonly begins: Latch.Latch
  state: "queued" | "working" | "idle"
}

export class Slots extends Context.Service<
  Slots,
  {
    /** Runs a slice once there is a slot for it. */
    readonly take: <A, E, R>(kind: Kind, slice: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  }
>()("idem/engine/schedule/ConcurrencyLimiter") {
  static readonly layerOf = (bounds: Bounds): Layer.Layer<Slots> => Layer.sync(Slots, () => make(bounds))

  static readonly layer: Layer.Layer<Slots> = this.layerOf(defaults)
}

const make = (bounds: Bounds): Slots["Service"] => {
  const queue = new Set<Entry>()
  const working = { poll: 0, backfill: 0 }
  const begun = { poll: 0, backfill: 0 }

  const mayBegin = (kind: Kind): boolean =>
    kind === "poll" || (working.backfill < bounds.workingBackfills && begun.backfill < bounds.begunBackfills)

  /** Begins those that are next, until there is no room. */
  const pump = (): void => {
    for (const entry of queue) {
      if (working.poll + working.backfill >= bounds.working || begun.poll + begun.backfill >= bounds.begun) return
      if (!mayBegin(entry.kind)) continue
      queue.delete(entry)
      begun[entry.kind] += 1
      working[entry.kind] += 1
      entry.state = "working"
      entry.begins.openUnsafe()
    }
  }

  const leave = (entry: Entry): void => {
    if (entry.state === "queued") queue.delete(entry)
    else {
      begun[entry.kind] -= 1
      if (entry.state === "working") working[entry.kind] -= 1
    }
    pump()
  }

  /** Lends the slot while every call of the slice waits to be admitted, and one of them for time to pass. */
  const turnOf = (entry: Entry): Turn => {
    const open = { calling: 0, admitting: 0, sleeping: 0 }
    const settle = (): void => {
      const idle = open.sleeping > 0 && open.admitting === open.calling
      if (idle && entry.state === "working") {
        entry.state = "idle"
        working[entry.kind] -= 1
        pump()
      } else if (!idle && entry.state === "idle") {
        // It goes over the bound for a moment rather than wait behind slices that have just begun.
        entry.state = "working"
        working[entry.kind] += 1
      }
    }
    const counted =
      (what: keyof typeof open) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            open[what] += 1
            settle()
          }),
          () => effect,
          () =>
            Effect.sync(() => {
              open[what] -= 1
              settle()
            })
        )
    return { calling: counted("calling"), admitting: counted("admitting"), sleeping: counted("sleeping") }
  }

  return {
    take: (kind, slice) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const entry: Entry = { kind, begins: Latch.makeUnsafe(false), state: "queued" }
          queue.add(entry)
          pump()
          return Effect.ensuring(
            restore(Effect.andThen(entry.begins.await, Effect.provideService(slice, Turn, turnOf(entry)))),
            Effect.sync(() => leave(entry))
          )
        })
      )
  }
}
