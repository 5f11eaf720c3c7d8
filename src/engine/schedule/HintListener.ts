/**
 * Holds the hint streams of the connections that this process runs. A stream is opened when its connection is polled
 * here, and closed when the connection is paused, changed, removed, or run by another process.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Sharding from "effect/cluster/Sharding"
import type { Hint } from "../../contract/Hints.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as SessionValues from "../../contract/SessionValues.ts"
import * as MessageText from "../MessageText.ts"
import type { Connection, ConnectionId } from "../model/Connection.ts"
import { Integrations } from "../source/Integrations.ts"
import * as OpenSource from "../source/OpenSource.ts"
import type * as LeasedSlice from "../sync/LeasedSlice.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import * as ConnectionGroup from "./ConnectionGroup.ts"
import { HintRouter } from "./HintRouter.ts"
import { PendingHints } from "./PendingHints.ts"

/**
 * How often a connection with an open stream is checked: whether this process still owns it, and its row is unchanged.
 */
const watchEvery = Duration.seconds(30)

/** After a stream was open for this long, it is reopened without back-off. */
const steadyAfter = Duration.toMillis("1 minute")

const backoff = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("5 minutes")]).pipe(Schedule.jittered)

/** The stream ended or failed, and is opened again. */
class Interrupted extends Schema.TaggedError<Interrupted>()("Interrupted", { message: Schema.String }) {}

/** Returns true if the source refuses the stream, so that a person has to change something. */
const isRefusal = ({ reason }: IntegrationError): boolean =>
  reason._tag !== "Transient" && reason._tag !== "RateLimited"

export class HintListener extends Context.Service<
  HintListener,
  {
    /** Opens the connection's stream of hints, unless it is open or the connection has none. Returns at once. */
    readonly listen: (connection: Connection) => Effect.Effect<void>
  }
>()("idem/engine/schedule/HintListener") {
  /** Opens no streams. */
  static readonly layerNone: Layer.Layer<HintListener> = Layer.succeed(HintListener, { listen: () => Effect.void })

  static readonly layer: Layer.Layer<HintListener, never, LeasedSlice.Services | Sharding.Sharding | PendingHints> =
    Layer.effect(
      HintListener,
      Effect.suspend(() => make)
    )
}

/**
 * Returns true while the connection is not paused and has the same credentials and config as when the stream was
 * opened.
 */
const isSame = (before: Connection, now: Option.Option<Connection>): boolean =>
  Option.exists(
    now,
    ({ config, credentials, guarded, paused }) =>
      paused === null &&
      guarded === before.guarded &&
      credentials !== null &&
      Buffer.from(credentials).equals(before.credentials ?? new Uint8Array()) &&
      JSON.stringify(config) === JSON.stringify(before.config)
  )

const make = Effect.gen(function* () {
  const connections = yield* ConnectionStore
  const integrations = yield* Integrations
  const router = yield* HintRouter
  const pending = yield* PendingHints
  const sharding = yield* Sharding.Sharding
  const context = yield* Effect.context<LeasedSlice.Services>()
  const listeners = yield* FiberMap.make<ConnectionId>()
  /** The credentials of connections that allow no stream. */
  const silent = new Map<ConnectionId, Uint8Array>()

  const isOurs = (connectionId: ConnectionId) =>
    Effect.provideService(ConnectionGroup.isOwned(connectionId), Sharding.Sharding, sharding)

  /** Returns when this process no longer owns the connection, or the connection has changed. */
  const untilChanged = (connection: Connection) => {
    const hasChanged = Effect.gen(function* () {
      if (!(yield* isOurs(connection.id))) return true
      return yield* Effect.match(connections.connection(connection.id), {
        onFailure: () => false,
        onSuccess: (now) => !isSame(connection, now)
      })
    })
    return Effect.asVoid(Effect.repeat(Effect.delay(hasChanged, watchEvery), { until: (isChanged) => isChanged }))
  }

  /**
   * Stores in the connection's row why its source refuses the stream, or removes the reason if `error` is undefined.
   */
  const record = ({ domain, id, name, problems }: Connection, error: IntegrationError | undefined) => {
    const command = `idem connect ${domain} --name ${MessageText.shellWord(name)} --credentials @FILE`
    const message =
      error === undefined
        ? undefined
        : error.reason._tag === "Malformed"
          ? `its events can't be read (${error.message}); polls go on`
          : `the source refuses to send events (${error.message}); polls go on. ` +
            `Give the credentials again: ${command}`
    return problems.hints === message ? Effect.void : connections.setHintsProblem(id, message ?? null)
  }

  const receive = (connection: Connection, hint: Hint) =>
    Effect.suspend(() => {
      const isHint: boolean = Predicate.isObject(hint)
      if (!isHint) return Effect.fail(SessionValues.malformed("a hint must be an object"))
      const { account, part } = hint
      pending.setListening(connection.id, true)
      const target = account === undefined ? { connectionId: connection.id } : { domain: connection.domain, account }
      return router.offer(target, part)
    })

  /**
   * Holds the stream until it ends or its connection changes. Fails if the stream ended soon after it was opened, so
   * that a delay follows.
   */
  const hold = (connection: Connection, hints: Stream.Stream<Hint, IntegrationError>) =>
    Effect.gen(function* () {
      const openedAt = yield* Clock.currentTimeMillis
      const watched = Stream.onFirst(hints, () => record(connection, undefined))
      const end = yield* Stream.runForEach(watched, (hint) => receive(connection, hint)).pipe(
        Effect.tapError((error) =>
          error._tag === "IntegrationError" && isRefusal(error) ? record(connection, error) : Effect.void
        ),
        Effect.match({ onFailure: ({ message }) => message, onSuccess: () => "the source ended the stream" }),
        Effect.raceFirst(Effect.as(untilChanged(connection), undefined)),
        Effect.ensuring(Effect.sync(() => pending.setListening(connection.id, false)))
      )
      if (end === undefined) return
      const heldFor = (yield* Clock.currentTimeMillis) - openedAt
      if (heldFor < steadyAfter) return yield* new Interrupted({ message: end })
      yield* Effect.logDebug(`hints were interrupted: ${end}`)
    })

  /** Makes one attempt to hold the stream. Returns true if the connection has no stream to open. */
  const attempt = Effect.fnUntraced(function* (connectionId: ConnectionId) {
    const connection = Option.getOrUndefined(yield* connections.connection(connectionId))
    if (connection === undefined || connection.paused !== null || connection.credentials === null) return true
    if (!(yield* isOurs(connectionId))) return true
    const hints = yield* OpenSource.hints(connection)
    if (Option.isNone(hints)) {
      yield* record(connection, undefined)
      silent.set(connectionId, connection.credentials)
      return true
    }
    silent.delete(connectionId)
    yield* hold(connection, hints.value)
    return false
  })

  const listening = (connectionId: ConnectionId) =>
    attempt(connectionId).pipe(
      Effect.tapError((error) =>
        Effect.logWarning(`no hints for now (${error.message}): changes are found by the scheduled polls`)
      ),
      Effect.retry(backoff),
      Effect.repeat({ until: (isOver) => isOver }),
      Effect.asVoid,
      Effect.annotateLogs({ connection: connectionId }),
      Effect.provide(context)
    )

  return HintListener.of({
    listen: Effect.fnUntraced(
      function* ({ credentials, domain, id, paused }) {
        const known = silent.get(id)
        const isSilent = known !== undefined && credentials !== null && Buffer.from(credentials).equals(known)
        if (paused !== null || isSilent || FiberMap.hasUnsafe(listeners, id)) return
        const integration = yield* integrations.get(domain)
        if (integration.hints === undefined) return
        yield* FiberMap.run(listeners, id, listening(id), { onlyIfMissing: true })
      },
      (effect) => Effect.ignore(effect)
    )
  })
})
