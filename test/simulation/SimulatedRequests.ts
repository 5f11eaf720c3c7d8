/** The requests of one session to a simulated source: their latency, their refusals, and their results. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../../src/contract/Content.ts"
import type * as Integration from "../../src/contract/Integration.ts"
import * as Errors from "../../src/contract/IntegrationError.ts"
import type { Random } from "../chaos/Random.ts"
import type { Caller } from "./Caller.ts"
import type { Faults } from "./Faults.ts"
import type { Pass } from "./SimulatedCheckpoint.ts"
import { occurredAt, type SimulatedSource } from "./SimulatedSource.ts"

export interface Edge {
  readonly sources: ReadonlyMap<string, SimulatedSource>
  readonly faults: Faults
  readonly random: Random
  readonly now: () => number
  /** Returns false if every response comes at once. */
  readonly isRough: () => boolean
  readonly say: (text: () => string) => void
  /** The passes in the connection's checkpoint: the present one and the completed ones. */
  readonly passesOf: (account: string) => ReadonlyArray<Pass>
  /** Called when a session is opened; the oracle checks whether it may be. */
  readonly opened: (caller: Caller, account: string) => void
}

export const errorOf = (
  reason: Errors.Reason["_tag"],
  message: string,
  retryAfter?: number
): Errors.IntegrationError => {
  const made = (() => {
    switch (reason) {
      case "RateLimited":
        return new Errors.RateLimited(
          retryAfter === undefined ? { message } : { message, retryAfter: Duration.millis(retryAfter) }
        )
      case "Unauthorized":
        return new Errors.Unauthorized({ message })
      case "Transient":
        return new Errors.Transient({ message })
      case "CheckpointExpired":
        return new Errors.CheckpointExpired({ message })
      case "Gone":
        return new Errors.Gone({ message })
      case "Forbidden":
        return new Errors.Forbidden({ message })
      case "TooLarge":
        return new Errors.TooLarge({ message })
      case "Malformed":
        return new Errors.Malformed({ message })
      case "Unsettled":
        return new Errors.Unsettled({ message })
    }
  })()
  return new Errors.IntegrationError({ reason: made })
}

/** The slice of a session. */
export interface Slice {
  /** The tick at which the slice began. */
  readonly began: number
  /** False for a slice that reads only ids that a person chose, and lists nothing. */
  isListing: boolean
  /** The pass that the slice began, if it is for the connection's own checkpoint. */
  pass: Pass | null
}

export interface Options {
  readonly edge: Edge
  readonly source: SimulatedSource
  readonly call: Integration.Call
  readonly caller: Caller
  readonly token: string
  readonly slice: Slice
}

export interface Requests {
  /** Requests something of this kind, with this id if given, from the source. */
  readonly ask: <A>(
    kind: string,
    id: string,
    answer: () => Effect.Effect<A, Errors.IntegrationError>
  ) => Effect.Effect<A, Errors.IntegrationError>
  /** Returns the ref of an id, with its content if the listing provides it. */
  readonly refOf: (id: string) => Ref
  readonly download: (id: string) => Effect.Effect<Content, Errors.IntegrationError>
}

export const make = ({ call, caller, edge, slice, source, token }: Options): Requests => {
  const { profile } = source
  const { random } = edge

  /**
   * Returns how long a response takes: usually short, sometimes long enough for a batch to reach its age limit, rarely
   * beyond the deadline.
   */
  const latency = () =>
    Effect.suspend(() => {
      if (!edge.isRough()) return Effect.void
      const kind = random.next()
      const millis =
        kind < 0.3
          ? 0
          : kind < 0.95
            ? random.between(1, profile.latency)
            : kind < 0.999
              ? random.between(1000, 9000)
              : 70_000
      return millis === 0 ? Effect.void : Effect.sleep(Duration.millis(millis))
    })

  const refusal = (kind: string, id: string): Errors.IntegrationError | undefined => {
    if (edge.now() < source.outageUntil) return errorOf("Transient", "the source is away")
    if (source.revoked.has(token)) {
      source.refused.set(token, source.ticks.now)
      return errorOf("Unauthorized", `${token} was revoked`)
    }
    const fault = edge.faults.takeSource(source.account, kind)
    if (fault !== undefined) {
      if (fault.reason === "Unauthorized") source.refused.set(token, source.ticks.now)
      return errorOf(fault.reason, `${kind} was refused`, fault.retryAfter)
    }
    const reason = kind === "download" ? source.poisoned.get(id) : undefined
    return reason === undefined ? undefined : errorOf(reason, `${id} can't be read`)
  }

  const ask = <A>(kind: string, id: string, answer: () => Effect.Effect<A, Errors.IntegrationError>) =>
    call(
      kind,
      1,
      Effect.suspend(() => {
        const refused = refusal(kind, id)
        const name = id === "" ? kind : `${kind} ${id}`
        edge.say(() => `${caller.process.name}: ${name}${refused === undefined ? "" : `: ${refused.reason._tag}`}`)
        if (refused === undefined) return Effect.andThen(latency(), Effect.suspend(answer))
        if (kind === "download" && !["Transient", "RateLimited", "Unauthorized"].includes(refused.reason._tag)) {
          if (refused.reason._tag !== "Unsettled" && refused.reason._tag !== "Gone") caller.told.failedItems += 1
        }
        return Effect.fail(refused)
      })
    )

  const contentOf = (id: string): Content | undefined => {
    const item = source.items.get(id)
    const found = source.downloadable(id)
    if (item === undefined || found === undefined) return undefined
    if (item.current === undefined) {
      edge.faults.happened("what was deleted is served")
      source.staleAt.set(id, source.ticks.now)
      if (!slice.isListing) source.cached.add(id)
      // Neither the log nor a pass reports the deletion any more: content that is stored during a pass is not absent
      // from it.
      const passes = [...edge.passesOf(source.account), ...(slice.pass === null ? [] : [slice.pass])]
      if (profile.mode === "feed" && passes.some(({ from }) => source.isUntoldFrom(from, id))) {
        source.keptSince.set(id, slice.began)
      }
    }
    const { body, version } = found
    source.readAt.set(id, source.ticks.now)
    const isStreamed = version % 3 === 0
    return {
      kind: "thing",
      title: `${id} in version ${version}`,
      occurredAt: occurredAt(item.at),
      metadata: { version, labels: profile.labels ? item.labels : 0 },
      volatile: { read: source.ticks.now },
      body: isStreamed ? Stream.fromIterable([body.subarray(0, 3), body.subarray(3)]) : body,
      ...(profile.by === "revision" && profile.revisionWithBytes ? { revision: String(version) } : {})
    }
  }

  const refOf = (id: string): Ref => {
    const version = source.items.get(id)?.current?.version
    const content = version !== undefined && (version * 7) % 10 < profile.inline * 10 ? contentOf(id) : undefined
    return {
      externalId: id,
      ...(profile.by === "revision" && version !== undefined ? { revision: String(version) } : {}),
      ...(content === undefined ? {} : { content })
    }
  }

  const download = (id: string) => {
    if (!slice.isListing) source.byId.add(id)
    return ask("download", id, () => {
      source.downloads += 1
      const content = contentOf(id)
      edge.say(() => `  ${id} is ${content?.title ?? "gone"}`)
      if (content === undefined) source.toldGone.add(id)
      if (content === undefined) return Effect.fail(errorOf("Gone", `${id} is gone`))
      if (source.items.get(id)?.current === undefined || !source.doomed.delete(id)) {
        return Effect.as(latency(), content)
      }
      edge.faults.wasMet("a deletion while it is read")
      source.remove([id])
      return Effect.as(Effect.sleep(Duration.millis(random.between(200, 9000))), content)
    })
  }

  return { ask, download, refOf }
}
