/**
 * The hints for the connections that this process runs, until a poll has handled them. They are kept in memory: a
 * process that takes over a connection has none of its hints, and begins with a poll that looks everywhere.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Hinted, maxHinted } from "../../contract/Hints.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { SliceResult } from "../sync/SliceResult.ts"

/** The shortest time between two polls of a connection that look everywhere because of a hint. */
const everywhereEvery = Duration.toMillis("1 minute")

/** The most connections with pending hints. Beyond it, the oldest connection's hints wait for its scheduled poll. */
const maxConnections = 10_000

/** The hints that were given to a poll. */
interface Taken {
  readonly hinted: Hinted
  /** The count of hints and interruptions at that time. */
  readonly at: number
}

/** The last poll by this process that looks everywhere. Such a poll may take several slices. */
type FullPoll =
  | { readonly _tag: "None" }
  /** `since`: the count when the poll began. */
  | { readonly _tag: "Running"; readonly since: number }
  | { readonly _tag: "Ended" }

interface Entry {
  /** The hinted parts, each with the count of its last hint. */
  readonly parts: Map<string, number>
  /**
   * The count of the last hint or interruption that requires a poll to look everywhere; undefined after such a poll.
   */
  everywhere: number | undefined
  isListening: boolean
  fullPoll: FullPoll
  /** When hints last caused a poll that looks everywhere. */
  broughtForwardAt: number
}

export class PendingHints extends Context.Service<
  PendingHints,
  {
    /** Adds hinted parts. `everywhere`: anything else may have changed too. */
    readonly add: (connectionId: ConnectionId, parts: ReadonlyArray<string>, everywhere: boolean) => void
    /** Records whether the connection's own stream listens. */
    readonly setListening: (connectionId: ConnectionId, isListening: boolean) => void
    /**
     * Returns which poll the hints justify now: of the hinted parts only, or everywhere. Returns undefined if the hints
     * wait for the scheduled poll.
     */
    readonly due: (connectionId: ConnectionId) => Effect.Effect<"parts" | "everywhere" | undefined>
    /** Returns the hints for a poll. */
    readonly take: (connectionId: ConnectionId, hintedOnly: boolean) => Taken
    /** Removes the hints that were given to a poll, if the poll handled them. */
    readonly done: (connectionId: ConnectionId, taken: Taken, result: SliceResult) => Effect.Effect<void>
  }
>()("idem/engine/schedule/PendingHints") {
  static readonly layer: Layer.Layer<PendingHints> = Layer.sync(PendingHints, () => make())
}

const make = (): PendingHints["Service"] => {
  const entries = new Map<ConnectionId, Entry>()
  let count = 0

  const entryOf = (connectionId: ConnectionId): Entry => {
    const known = entries.get(connectionId)
    if (known !== undefined) return known
    const entry: Entry = {
      parts: new Map(),
      everywhere: 0,
      isListening: false,
      fullPoll: { _tag: "None" },
      broughtForwardAt: Number.NEGATIVE_INFINITY
    }
    // Removes the oldest entry: its connection begins again as in a process that has just started.
    const oldest = entries.size >= maxConnections ? entries.keys().next().value : undefined
    if (oldest !== undefined) entries.delete(oldest)
    entries.set(connectionId, entry)
    return entry
  }

  return {
    add: (connectionId, parts, everywhere) => {
      count += 1
      const entry = entryOf(connectionId)
      for (const part of parts) entry.parts.set(part, count)
      if (!everywhere && entry.parts.size <= maxHinted) return
      entry.everywhere = count
      if (entry.parts.size > maxHinted) entry.parts.clear()
    },
    setListening: (connectionId, isListening) => {
      const entry = entryOf(connectionId)
      if (entry.isListening === isListening) return
      count += 1
      entry.isListening = isListening
      entry.everywhere = count
    },
    due: (connectionId) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = entries.get(connectionId)
        if (entry?.fullPoll._tag !== "Ended") return undefined
        if (entry.everywhere !== undefined && now - entry.broughtForwardAt >= everywhereEvery) {
          entry.broughtForwardAt = now
          return "everywhere"
        }
        return entry.parts.size > 0 ? "parts" : undefined
      }),
    take: (connectionId, hintedOnly) => {
      const entry = entryOf(connectionId)
      if (!hintedOnly && entry.fullPoll._tag !== "Running") entry.fullPoll = { _tag: "Running", since: count }
      const isListening = entry.isListening && entry.everywhere === undefined
      return { at: count, hinted: { parts: [...entry.parts.keys()], only: hintedOnly, isListening } }
    },
    done: (connectionId, { at, hinted }, { error, hintedOnly, next }) =>
      Effect.sync(() => {
        const entry = entries.get(connectionId)
        if (entry === undefined || error !== null || next._tag === "Wait") return
        // Parts that were hinted again meanwhile stay, for the next poll.
        for (const part of hinted.parts) if ((entry.parts.get(part) ?? 0) <= at) entry.parts.delete(part)
        if (hintedOnly || next._tag === "More") return
        const since = entry.fullPoll._tag === "Running" ? entry.fullPoll.since : at
        if (entry.everywhere !== undefined && entry.everywhere <= since) entry.everywhere = undefined
        entry.fullPoll = { _tag: "Ended" }
      })
  }
}
