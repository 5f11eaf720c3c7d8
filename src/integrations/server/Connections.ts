/**
 * A pool of connections to one server. A connection serves one request at a time. It is opened when it is needed,
 * reopened after it broke, and closed after a minute without use.
 *
 * A server limits the connections of one client, and refuses more in many ways: 421, 530 with any text, or a dropped
 * connection. A login that fails while other connections of the pool are open is treated as such a refusal: the pool
 * shrinks to the open connections, and the request waits for one of them. The call does not fail, so no cool-down
 * begins and no item loses an attempt.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Errors from "./Errors.ts"

interface Options<Client> {
  readonly call: Call
  readonly max: number
  readonly open: Effect.Effect<Client, IntegrationError>
  readonly isOpen: (client: Client) => boolean
  /** Closes the connection, even during a request, within a bounded time. */
  readonly close: (client: Client) => Effect.Effect<void>
}

export interface Connection<out Client> {
  /** Makes one request through `call`, and repeats it on a new connection if the old one broke. */
  readonly request: <A>(
    method: string,
    request: (client: Client) => Effect.Effect<A, IntegrationError>
  ) => Effect.Effect<A, IntegrationError>
  /** Drops the connection after a request was abandoned, because the rest of its response may still arrive. */
  readonly drop: Effect.Effect<void>
}

/** The number of connections that a server allows, as far as it is known. */
export interface Size {
  /** Returns the number of connections at which the server refused another one; undefined while it has refused none. */
  readonly allowed: () => number | undefined
  /** Limits the pool to `connections`, as an earlier listing learned; with `oneMore`, one more is tried. */
  readonly restore: (connections: number, oneMore: boolean) => Effect.Effect<void>
}

interface Connections<out Client> {
  /** Waits for a free connection, outside of any `call`, because a call's deadline does not include the queue. */
  readonly get: Effect.Effect<Connection<Client>, never, Scope.Scope>
  readonly request: Connection<Client>["request"]
  readonly connect: Effect.Effect<void, IntegrationError>
  readonly size: Size
}

interface Slot<Client> {
  client: Client | undefined
  isOpening: boolean
  usedAt: number
}

/** Matches servers' replies to a wrong password, as opposed to too many connections. */
const aboutPassword = /incorrect|invalid|wrong|password|credential|authentication/i

const idleMillis = 60_000

/**
 * A server counts a connection for a while after it ended. A pool that shrank because of a reopened connection tries
 * its former size once more after this time.
 */
const regrowAfter = "5 seconds"

export const make = Effect.fnUntraced(function* <Client>(
  options: Options<Client>
): Effect.fn.Return<Connections<Client>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const slots = new Set<Slot<Client>>()
  const idle: Array<Slot<Client>> = []
  const permits = Semaphore.makeUnsafe(options.max)
  let size = options.max
  let allowed: number | undefined
  /** The most connections that were open at the same time. */
  let proven = 0

  const isReady = (slot: Slot<Client>): boolean => slot.client !== undefined && options.isOpen(slot.client)
  const openSlots = (): number => [...slots].filter(isReady).length
  const others = (slot: Slot<Client>): number =>
    [...slots].filter((other) => other !== slot && (other.isOpening || isReady(other))).length

  const drop = (slot: Slot<Client>) =>
    Effect.suspend(() => {
      const { client } = slot
      slot.client = undefined
      return client === undefined ? Effect.void : options.close(client)
    })

  const resize = (to: number) =>
    Effect.suspend(() => {
      size = Math.min(options.max, Math.max(1, to))
      return permits.resize(size)
    })

  const take = Effect.map(permits.take(1), () => {
    const ready = idle.findLastIndex(isReady)
    const [slot = { client: undefined, isOpening: false, usedAt: 0 }] =
      ready < 0 ? idle.splice(0, 1) : idle.splice(ready, 1)
    slots.add(slot)
    return slot
  })

  const give = Effect.fnUntraced(function* (slot: Slot<Client>) {
    if (isReady(slot)) {
      slot.usedAt = yield* Clock.currentTimeMillis
      idle.push(slot)
    } else {
      yield* drop(slot)
      slots.delete(slot)
    }
    yield* permits.release(1)
  })

  /** Shrinks the pool after the server refused a connection while this many others were open. */
  const refused = Effect.fnUntraced(function* (open: number) {
    const former = proven
    proven = Math.min(proven, open)
    allowed = open
    yield* resize(open)
    if (open < former) {
      yield* Effect.forkIn(Effect.delay(resize(former), regrowAfter), scope)
    }
  })

  /** Logs in. Returns false if the server allows no more connections than are open. */
  const login = (slot: Slot<Client>): Effect.Effect<boolean, IntegrationError> =>
    Effect.suspend(() => {
      slot.isOpening = true
      return Effect.tap(options.open, (client) => Effect.sync(() => (slot.client = client)))
    }).pipe(
      Effect.map(() => {
        const open = openSlots()
        proven = Math.max(proven, open)
        if (allowed !== undefined && open > allowed) allowed = open < options.max ? open : undefined
        return true
      }),
      Effect.catch((error) =>
        Effect.suspend(() => {
          const open = others(slot)
          if (open > 0) return Effect.as(refused(open), false)
          // The server may still count connections that were just closed: only a reply that mentions the password is
          // about it.
          return allowed !== undefined && error.reason._tag === "Unauthorized" && !aboutPassword.test(error.message)
            ? Effect.fail(Errors.transient(error.message))
            : Effect.fail(error)
        })
      ),
      Effect.ensuring(Effect.sync(() => (slot.isOpening = false)))
    )

  /** Makes a call that does not repeat permanent failures, such as a timeout. */
  const call = <A>(method: string, effect: Effect.Effect<A, IntegrationError>): Effect.Effect<A, IntegrationError> =>
    options
      .call(
        method,
        1,
        Effect.map(effect, Result.succeed).pipe(
          Effect.catchIf(
            (error) => error instanceof Errors.Unrepeated,
            (error) => Effect.succeed(Result.fail(error))
          )
        )
      )
      .pipe(Effect.flatMap(Effect.fromResult))

  const get = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      let current: Slot<Client> | undefined = yield* restore(take)
      yield* Effect.addFinalizer(() => (current === undefined ? Effect.void : give(current)))

      /** Returns the slot to the pool, and waits for another one. */
      const swap = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          if (current !== undefined) yield* give(current)
          current = undefined
          current = yield* restore(take)
        })
      )
      /** Returns a slot with a login. A first login is a call of its own. */
      const ready = Effect.gen(function* () {
        while (true) {
          const slot = current
          if (slot === undefined) return yield* Effect.die(new Error("the connection was given back"))
          if (isReady(slot)) return slot
          yield* drop(slot)
          if (!(yield* call("connect", login(slot)))) yield* swap
        }
      })
      const dropCurrent = Effect.suspend(() => (current === undefined ? Effect.void : drop(current)))

      const request: Connection<Client>["request"] = Effect.fnUntraced(function* <A>(
        method: string,
        ask: (client: Client) => Effect.Effect<A, IntegrationError>
      ) {
        while (true) {
          const slot = yield* ready
          const answer = yield* call(
            method,
            Effect.gen(function* () {
              // The connection broke during the previous attempt, so it is reopened within the call.
              if (!isReady(slot)) {
                yield* drop(slot)
                yield* login(slot)
              }
              const { client } = slot
              if (client === undefined) return Option.none<A>()
              return yield* ask(client).pipe(
                Effect.map(Option.some),
                Effect.onInterrupt(() => drop(slot)),
                // After a time-out or a lost response, the next response may belong to the earlier request.
                Effect.tapError((error) =>
                  error.reason._tag === "Transient" && !(error instanceof Errors.ServerFailure)
                    ? drop(slot)
                    : Effect.void
                )
              )
            })
          )
          if (Option.isSome(answer)) return answer.value
        }
      })
      return { request, drop: dropCurrent, connect: Effect.asVoid(ready) }
    })
  )

  yield* Effect.addFinalizer(() => Effect.forEach(slots, drop, { concurrency: "unbounded", discard: true }))
  yield* Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const slot of idle.filter(({ usedAt }) => now - usedAt >= idleMillis)) {
      idle.splice(idle.indexOf(slot), 1)
      slots.delete(slot)
      yield* drop(slot)
    }
  }).pipe(Effect.repeat(Schedule.spaced("15 seconds")), Effect.forkScoped)

  return {
    get,
    request: (method, request) =>
      Effect.scoped(Effect.flatMap(get, (connection) => connection.request(method, request))),
    connect: Effect.scoped(Effect.flatMap(get, ({ connect }) => connect)),
    size: {
      allowed: () => allowed,
      restore: (connections, oneMore) =>
        Effect.suspend(() => {
          if (connections >= options.max) return Effect.void
          allowed = connections
          return resize(connections + (oneMore ? 1 : 0))
        })
    }
  }
})
