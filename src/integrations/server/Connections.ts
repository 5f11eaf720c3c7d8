/**
 * A pool of connections to one server. A connection serves one request at a time, is opened when it is first needed,
 * opened again when it broke, and closed after a minute without use.
 *
 * A server limits the connections of one client, and refuses more in many ways: 421, 530 in any wording, or a dropped
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

export interface Options<Client> {
  readonly call: Call
  readonly max: number
  readonly open: Effect.Effect<Client, IntegrationError>
  readonly isOpen: (client: Client) => boolean
  /** Closes the connection, also during a request, within a bounded time. */
  readonly close: (client: Client) => Effect.Effect<void>
}

export interface Connection<out Client> {
  /** Makes one request through `call`, and repeats it on a new connection if the old one broke. */
  readonly request: <A>(
    method: string,
    request: (client: Client) => Effect.Effect<A, IntegrationError>
  ) => Effect.Effect<A, IntegrationError>
  /** Drops the connection: for a request that was given up midway, whose answer is still under way. */
  readonly drop: Effect.Effect<void>
}

/** The number of connections that a server allows, as far as it is known. */
export interface Size {
  /** The most connections that were open before the server refused another; undefined while it refused none. */
  readonly allowed: () => number | undefined
  /** Opens at most `connections` at a time, which an earlier listing learned; `oneMore` tries another one again. */
  readonly restore: (connections: number, oneMore: boolean) => Effect.Effect<void>
}

export interface Connections<out Client> {
  /** Waits for a free connection, outside of any `call`: a call's deadline is the server's, not the queue's. */
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

/** Replies of servers to a wrong password, as opposed to one connection too many. */
const aboutPassword = /incorrect|invalid|wrong|password|credential|authentication/i

const idleMillis = 60_000

/**
 * A server counts a connection for a while after its end. A pool that a reopened connection made smaller than it was
 * tries its former size once more after this time.
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
  /** The most connections that were open at a time. */
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

  /** The server refused one connection while this many others were open. */
  const refused = Effect.fnUntraced(function* (open: number) {
    const former = proven
    proven = Math.min(proven, open)
    allowed = open
    yield* resize(open)
    if (open < former) {
      yield* Effect.forkIn(Effect.delay(resize(former), regrowAfter), scope)
    }
  })

  /** Logs in. False if the server allows no more connections than there are. */
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
          // Connections that were just closed may count for a while: only what names the password is about the
          // password.
          return allowed !== undefined && error.reason._tag === "Unauthorized" && !aboutPassword.test(error.message)
            ? Effect.fail(Errors.transient(error.message))
            : Effect.fail(error)
        })
      ),
      Effect.ensuring(Effect.sync(() => (slot.isOpening = false)))
    )

  /** A call that does not repeat what failed for good, as a request whose time is up. */
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

      /** Gives the slot up, and waits for another. */
      const swap = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          if (current !== undefined) yield* give(current)
          current = undefined
          current = yield* restore(take)
        })
      )
      /** A slot that is logged in. A first login is a call of its own. */
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
              // The connection broke at the attempt before: it is opened again, within the call.
              if (!isReady(slot)) {
                yield* drop(slot)
                yield* login(slot)
              }
              const { client } = slot
              if (client === undefined) return Option.none<A>()
              return yield* ask(client).pipe(
                Effect.map(Option.some),
                Effect.onInterrupt(() => drop(slot)),
                // After a time-out or a lost answer, the next answer may belong to the earlier request.
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
