/**
 * The rule for addresses that Idem may connect to on behalf of a client: public addresses, and those that a setting
 * lists (hosts, addresses and networks in CIDR notation, separated by commas). Without this rule, a client that names a
 * webhook or a source over HTTP could reach addresses that only Idem can reach (SSRF). `SourceNetwork.ts` applies the
 * rule to sources, `Destination.ts` to webhooks.
 *
 * A host name is looked up once for each connection, all its addresses are checked, and the socket connects to one of
 * them, so that a later change of the DNS record has no effect (DNS rebinding). A literal address is checked too: Node
 * makes no look-up for it, so that a check in the look-up alone would not see it.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as Schema from "effect/Schema"
import Ip from "ipaddr.js"

/** The address is not allowed. The message says why, and which setting would allow it. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  message: Schema.String,
  /** The name of the setting, if the setting itself can't be read. */
  setting: Schema.optionalKey(Schema.String)
}) {}

/** The host's name can't be looked up. */
export class UnknownHost extends Schema.TaggedError<UnknownHost>()("UnknownHost", { message: Schema.String }) {}

type Address = Ip.IPv4 | Ip.IPv6

const lookupTimeout = Duration.seconds(10)

interface Allowed {
  readonly hosts: ReadonlySet<string>
  readonly networks: ReadonlyArray<readonly [Address, number]>
}

/** Azure's platform services answer virtual machines at this public address. */
const azurePlatform = "168.63.129.16"

/** An IPv4-mapped IPv6 address counts as IPv4. */
const parse = (address: string): Address => Ip.process(address)

const isIn = (address: Address, [network, bits]: readonly [Address, number]): boolean =>
  address instanceof Ip.IPv4
    ? network instanceof Ip.IPv4 && address.match(network, bits)
    : network instanceof Ip.IPv6 && address.match(network, bits)

/**
 * Returns true for public addresses: not private, local, shared, multicast or reserved. Of IPv6 only global unicast
 * (2000::/3) without an embedded IPv4 address (6to4, Teredo; NAT64 is outside of 2000::/3).
 */
const isPublic = (address: Address): boolean =>
  address.range() === "unicast" &&
  (address instanceof Ip.IPv4 ? address.toString() !== azurePlatform : ((address.parts[0] ?? 0) & 0xe000) === 0x2000)

/** Parses an entry of the setting: a host name in the form of URLs, or a network. */
const entry = (text: string): string | readonly [Address, number] | undefined => {
  // In the short forms of IPv4, 192.168/16 would be 192.0.0.168/16.
  if (Ip.IPv6.isValidCIDR(text) || Ip.IPv4.isValidCIDRFourPartDecimal(text)) return Ip.parseCIDR(text)
  if (Ip.IPv6.isValid(text) || Ip.IPv4.isValidFourPartDecimal(text)) {
    const address = parse(text)
    return [address, address instanceof Ip.IPv4 ? 32 : 128]
  }
  const url = URL.parse(`http://${text}/`)
  return url !== null && url.host === text.toLowerCase() && url.port === "" ? url.hostname : undefined
}

const allowed = Effect.fnUntraced(function* (setting: string) {
  const text = yield* Config.String(setting).pipe(Config.withDefault(""))
  const hosts = new Set<string>()
  const networks: Array<readonly [Address, number]> = []
  for (const part of text.split(",").map((part) => part.trim())) {
    if (part === "") continue
    const found = entry(part)
    if (found === undefined) {
      return yield* new Refused({
        setting,
        message:
          `${setting}: ${JSON.stringify(part)} is not a host, address or network: ` +
          "write them like 127.0.0.1,10.0.0.0/8,hooks.internal"
      })
    }
    if (typeof found === "string") hosts.add(found)
    else networks.push(found)
  }
  return { hosts, networks } satisfies Allowed
})

export interface AddressGuard {
  /**
   * Returns the addresses that a connection to this host may use: all its present addresses, at least one. `host` is a
   * name or an address, in the form of URLs. A connection without TLS (`isSecure` false) may only use addresses that
   * the setting lists.
   */
  readonly addressesOf: (
    host: string,
    options: { readonly isSecure: boolean }
  ) => Effect.Effect<ReadonlyArray<string>, Refused | UnknownHost>
}

const refuse = (message: string) => Effect.fail(new Refused({ message }))

/** Makes a guard. `setting` is the name of the setting that lists the exceptions. */
export const make = Effect.fnUntraced(function* (
  setting: string
): Effect.fn.Return<AddressGuard, Refused | Config.ConfigError, Dns.Dns> {
  const { hosts, networks } = yield* allowed(setting)
  const dns = yield* Dns.Dns

  const fromDns = (name: string, type: "A" | "AAAA") =>
    dns.resolve(name, type).pipe(
      Effect.map((records) => records.map(({ address }) => address)),
      // Many hosts have addresses of only one family.
      Effect.catchIf(
        ({ reason }) => reason === "NotFound",
        () => Effect.succeed([])
      )
    )

  /**
   * Public names are resolved by DNS queries over sockets. The system's own look-up knows more names, but blocks one of
   * the few threads that all look-ups share, so it only resolves hosts that the setting lists.
   */
  const addressesOf = (name: string): Effect.Effect<ReadonlyArray<NetAddress.IpAddress>, Dns.DnsError> =>
    hosts.has(name)
      ? dns.lookup(name)
      : Effect.map(Effect.all([fromDns(name, "A"), fromDns(name, "AAAA")], { concurrency: 2 }), (both) => both.flat())

  const lookup = (name: string) => {
    const unknown = (reason: string) => new UnknownHost({ message: `the host ${name} can't be looked up (${reason})` })
    return addressesOf(name).pipe(
      Effect.mapError(({ reason }) => unknown(reason)),
      Effect.timeoutOrElse({ duration: lookupTimeout, orElse: () => Effect.fail(unknown("Timeout")) }),
      Effect.map((found) => found.map(NetAddress.formatIp)),
      Effect.filterOrFail(
        ({ length }) => length > 0,
        () =>
          new UnknownHost({
            message: `the DNS does not know the host ${name}; if only this machine knows it, set ${setting} to allow it`
          })
      )
    )
  }

  return {
    addressesOf: Effect.fnUntraced(function* (host, { isSecure }) {
      const name = host.replace(/^\[|\]$/g, "").toLowerCase()
      const addresses = Ip.isValid(name) ? [name] : yield* lookup(name)
      const parsed = addresses.map(parse)
      const isAllowed = (address: Address) => networks.some((network) => isIn(address, network))
      const advice = `set ${setting} to allow it`
      if (!hosts.has(name)) {
        if (!isSecure && !parsed.every(isAllowed)) {
          return yield* refuse(`it must begin with https://; ${advice}`)
        }
        if (!parsed.every((address) => isPublic(address) || isAllowed(address))) {
          return yield* refuse(`${host} is, or resolves to, an address that is not public; ${advice}`)
        }
      }
      return parsed.map(String)
    })
  }
})
