/**
 * Limits how many slices of a process run at the same time. A slice needs a slot to work. While a slice only waits for
 * quota, it lends its slot to another slice, and takes it back without waiting, so that a hundred accounts that wait
 * for quota delay no others. A slice that is behind another in the queue for a shared budget keeps its slot.
 *
 * Backfills (slices of a connection whose last slice left work) may use a share of the slots. The other slots are for
 * polls, which therefore never wait for backfills to end. Within these bounds, free slots go in turns to the budgets
 * whose connections wait for a slot, and within a budget to its accounts. Otherwise thousands of connections that wait
 * for the budget they share would delay all others.
 *
 * A connection has one slot at most: a slice that a hint caused waits until the scheduled slice has ended, and then has
 * its hints.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type { ConnectionId } from "../model/Connection.ts"
import { Slot } from "../source/Slot.ts"
import * as FairQueue from "./FairQueue.ts"

export type Kind = "poll" | "backfill"

interface Bounds {
  /**
   * The most slices that work at the same time. Multiplied by `Limits.concurrency`, this bounds the downloads in
   * flight.
   */
  readonly working: number
  /** The most slices that have begun, including those that wait for quota. Each may hold an open batch. */
  readonly begun: number
  /** How many of each may be backfills. */
  readonly workingBackfills: number
  readonly begunBackfills: number
}

export const Bounds = Context.Reference<Bounds>("idem/engine/schedule/ConcurrencyLimiter/Bounds", {
  defaultValue: () => ({ working: 32, begun: 128, workingBackfills: 24, begunBackfills: 96 })
})

interface Entry {
  readonly connectionId: ConnectionId
  readonly kind: Kind
  readonly path: ReadonlyArray<string>
  readonly begins: Latch.Latch
  state: "queued" | "working" | "idle"
}

export class ConcurrencyLimiter extends Context.Service<
  ConcurrencyLimiter,
  {
    /** Runs a slice once it gets a slot. `path` is its budget and its account, between which slots take turns. */
    readonly take: <A, E, R>(
      options: {
        readonly connectionId: ConnectionId
        readonly kind: Kind
        readonly path: readonly [string, string]
      },
      slice: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E, R>
  }
>()("idem/engine/schedule/ConcurrencyLimiter") {
  static readonly layer: Layer.Layer<ConcurrencyLimiter> = Layer.effect(
    ConcurrencyLimiter,
    Effect.map(Bounds, (bounds) => make(bounds))
  )
}

const make = (bounds: Bounds): ConcurrencyLimiter["Service"] => {
  const queue = FairQueue.make<Entry>()
  const working = { poll: 0, backfill: 0 }
  const begun = { poll: 0, backfill: 0 }

  /** The connections whose slices have begun. */
  const running = new Set<ConnectionId>()

  const mayBegin = ({ connectionId, kind }: Entry): boolean =>
    !running.has(connectionId) &&
    (kind === "poll" || (working.backfill < bounds.workingBackfills && begun.backfill < bounds.begunBackfills))

  /** Begins waiting slices until no slot is free. */
  const pump = (): void => {
    while (working.poll + working.backfill < bounds.working && begun.poll + begun.backfill < bounds.begun) {
      const entry = FairQueue.poll(queue, mayBegin)
      if (entry === undefined) return
      begun[entry.kind] += 1
      working[entry.kind] += 1
      running.add(entry.connectionId)
      entry.state = "working"
      entry.begins.openUnsafe()
    }
  }

  const leave = (entry: Entry): void => {
    if (entry.state === "queued") FairQueue.remove(queue, entry.path, entry)
    else {
      begun[entry.kind] -= 1
      running.delete(entry.connectionId)
      if (entry.state === "working") working[entry.kind] -= 1
    }
    pump()
  }

  /**
   * Returns the slot of an entry. The slot is lent while every call of the slice waits for admission, and at least one
   * of them for time to pass.
   */
  const slotOf = (entry: Entry): Slot => {
    const open = { calling: 0, admitting: 0, sleeping: 0 }
    const update = (): void => {
      const idle = open.sleeping > 0 && open.admitting === open.calling
      if (idle && entry.state === "working") {
        entry.state = "idle"
        working[entry.kind] -= 1
        pump()
      } else if (!idle && entry.state === "idle") {
        // This exceeds the bound for a moment. Otherwise the slice would wait behind slices that have just begun.
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
            update()
          }),
          () => effect,
          () =>
            Effect.sync(() => {
              open[what] -= 1
              update()
            })
        )
    return { calling: counted("calling"), admitting: counted("admitting"), sleeping: counted("sleeping") }
  }

  return {
    take: ({ connectionId, kind, path }, slice) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const entry: Entry = { connectionId, kind, path, begins: Latch.makeUnsafe(false), state: "queued" }
          FairQueue.add(queue, path, entry)
          pump()
          return Effect.ensuring(
            restore(Effect.andThen(entry.begins.await, Effect.provideService(slice, Slot, slotOf(entry)))),
            Effect.sync(() => leave(entry))
          )
        })
      )
  }
}
