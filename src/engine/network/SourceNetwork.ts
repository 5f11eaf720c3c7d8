/**
 * The networks through which sources are reached. A connection that was created over HTTP is *guarded*: its row records
 * that, and every run of it gets a network that checks each address before it connects. A connection that was created
 * on the machine itself is not restricted.
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Dns from "effect/net/Dns"
import type * as Schema from "effect/Schema"
import { isIPv6, type LookupFunction } from "node:net"
import { Forbidden, IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import * as Network from "../../contract/Network.ts"
import * as AddressGuard from "./AddressGuard.ts"

/** True while an HTTP request is handled. */
export const IsRemote = Context.Reference<boolean>("idem/engine/network/SourceNetwork/IsRemote", {
  defaultValue: () => false
})

interface SourceNetwork {
  /** The network of a guarded connection. */
  readonly guarded: Effect.Effect<Network.Network, AddressGuard.Refused>
  /**
   * Fails if a field of this address names a server that a guarded connection may not reach. The message names both.
   */
  readonly check: (address: Schema.JsonObject) => Effect.Effect<void, AddressGuard.Refused>
}

/** Without its layer, guarded connections are refused. */
export const SourceNetwork = Context.Reference<SourceNetwork>("idem/engine/network/SourceNetwork", {
  defaultValue: () => {
    const refused = Effect.fail(new AddressGuard.Refused({ message: "this process has no guard for its address" }))
    return { guarded: refused, check: () => refused }
  }
})

/** The network of a connection. If its guard is refused, each request fails with the reason. */
export const of = Effect.fnUntraced(function* (
  isGuarded: boolean
): Effect.fn.Return<Network.Network, IntegrationError> {
  if (!isGuarded) return Network.direct
  const { guarded } = yield* SourceNetwork
  return yield* Effect.mapError(guarded, ({ message }) => new IntegrationError({ reason: new Forbidden({ message }) }))
})

/** Returns a look-up function that always answers with these addresses. */
export const pinned =
  (addresses: ReadonlyArray<string>): LookupFunction =>
  (_, options, done) => {
    const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
    const [first] = all
    if (options.all === true) done(null, all)
    else done(null, first?.address ?? "", first?.family)
  }

const connectTimeout = Duration.toMillis("10 seconds")

/** Makes a `fetch` that checks the address of every connection, also after redirects. */
const fetchThrough = Effect.fnUntraced(function* (guard: AddressGuard.AddressGuard) {
  // Loaded on demand, because only guarded connections need it.
  const { default: undici } = yield* Effect.promise(() => import("@effect/platform-node/Undici"))
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const agent = new undici.Agent({
    connect: (options, done) => {
      const connect = guard.addressesOf(options.hostname, { isSecure: options.protocol === "https:" }).pipe(
        Effect.match({
          onFailure: ({ _tag, message }) => {
            const code = _tag === "Refused" ? Network.refusedCode : "ENOTFOUND"
            done(Object.assign(new Error(message), { code }), null)
          },
          onSuccess: (addresses) =>
            undici.buildConnector({ lookup: pinned(addresses), timeout: connectTimeout })(options, done)
        })
      )
      run(connect)
    }
  })
  const fetch: Network.Network["fetch"] = async (input, init) => {
    // The agent and Node's `fetch` come from different copies of undici, so only plain values are passed between them.
    const request = new Request(input, init)
    const { headers, method, redirect, signal, url } = request
    const body = request.body === null ? null : await request.arrayBuffer()
    return undici.fetch(url, { body, dispatcher: agent, headers: [...headers], method, redirect, signal })
  }
  return fetch
})

const hostName = /^(?=.*[.:]|localhost$)[a-z0-9._:[\]-]+$/i

/**
 * Returns the server that a field of an address names as a URL, a host name or an IP address; undefined if it names
 * none.
 */
const serverIn = (value: Schema.Json): { readonly host: string; readonly isSecure: boolean } | undefined => {
  if (typeof value !== "string") return undefined
  const url = value.includes("://") ? URL.parse(value) : null
  if (url !== null && url.hostname !== "") return { host: url.hostname, isSecure: url.protocol !== "http:" }
  return hostName.test(value) ? { host: value, isSecure: true } : undefined
}

/**
 * Provides the guarded network. `IDEM_SOURCE_ALLOW` lists the addresses that are allowed besides public ones. Fails if
 * the setting is not valid.
 */
export const layer: Layer.Layer<never, AddressGuard.Refused | Config.ConfigError, Dns.Dns> = Layer.effect(
  SourceNetwork,
  Effect.gen(function* () {
    const guard = yield* AddressGuard.make("IDEM_SOURCE_ALLOW")
    const addressOf = (host: string) =>
      guard.addressesOf(host, { isSecure: true }).pipe(
        Effect.map(([address]) => address ?? host),
        Effect.mapError(
          ({ _tag, message }) =>
            new IntegrationError({
              reason: _tag === "Refused" ? new Forbidden({ message }) : new Transient({ message })
            })
        )
      )
    return {
      guarded: yield* Effect.cached(
        Effect.map(fetchThrough(guard), (fetch): Network.Network => ({ fetch, addressOf }))
      ),
      check: Effect.fnUntraced(function* (address) {
        for (const [field, value] of Object.entries(address)) {
          const server = serverIn(value)
          if (server === undefined) continue
          yield* Effect.mapError(
            guard.addressesOf(server.host, server),
            ({ message }) => new AddressGuard.Refused({ message: `${field}: ${message}` })
          )
        }
      })
    }
  })
)
