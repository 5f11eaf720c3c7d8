import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Destination, layer } from "../../../src/engine/webhooks/Destination.ts"
import { runs } from "../../support/Property.ts"

const recordOf = (text: string): Dns.DnsRecord => {
  const address = NetAddress.ipFromStringUnsafe(text)
  return NetAddress.isIpv4Address(address)
    ? Dns.makeRecordUnsafe("A", { address })
    : Dns.makeRecordUnsafe("AAAA", { address })
}

const names = {
  "public.example": ["93.184.216.34", "2606:2800:220:1::1"],
  "private.example": ["10.1.2.3"],
  "mixed.example": ["93.184.216.34", "127.0.0.1"],
  "mapped.example": ["::ffff:169.254.169.254"],
  localhost: ["127.0.0.1", "::1"]
}

/** Names in the hosts file and in the DNS: `hosts.example` is only in the hosts file. */
const zone = Dns.layerStatic({
  hosts: { "hosts.example": ["10.9.9.9"] },
  records: Object.fromEntries(Object.entries(names).map(([name, addresses]) => [name, addresses.map(recordOf)]))
})

const allowing = (allow: string) =>
  Effect.provide(
    layer.pipe(
      Layer.provide(zone),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ IDEM_WEBHOOK_ALLOW: allow })))
    )
  )

const check = (url: string, allow = "") =>
  Destination.use((destination) => destination.check(url)).pipe(allowing(allow))

const addresses = (url: string, allow?: string) => Effect.map(check(url, allow), (found) => found.addresses)
const refused = (url: string, allow?: string) =>
  Effect.map(Effect.flip(check(url, allow)), (error) => {
    assert.strictEqual(error._tag, "Refused", url)
    return error.message
  })

const Octet = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))

/** An address in each range that is not public, by the address's last free octets. */
const ranges: ReadonlyArray<(b: number, c: number, d: number) => readonly [number, number, number, number]> = [
  (b, c, d) => [0, b, c, d],
  (b, c, d) => [10, b, c, d],
  (b, c, d) => [100, 64 + (b % 64), c, d],
  (b, c, d) => [127, b, c, d],
  (_, c, d) => [169, 254, c, d],
  () => [169, 254, 169, 254],
  (b, c, d) => [172, 16 + (b % 16), c, d],
  (_, __, d) => [192, 0, 0, d],
  (_, __, d) => [192, 0, 2, d],
  (_, c, d) => [192, 168, c, d],
  (b, c, d) => [198, 18 + (b % 2), c, d],
  (_, __, d) => [198, 51, 100, d],
  (_, __, d) => [203, 0, 113, d],
  (b, c, d) => [224 + (b % 16), b, c, d],
  (b, c, d) => [240 + (b % 16), b, c, d],
  () => [255, 255, 255, 255],
  () => [168, 63, 129, 16]
]

const hex = (value: number) => value.toString(16)

/** Every notation of an IPv4 address that URLs, libraries and people use. */
const spellings = ([a, b, c, d]: readonly [number, number, number, number]): ReadonlyArray<string> => {
  const whole = ((a * 256 + b) * 256 + c) * 256 + d
  const [high, low] = [hex(a * 256 + b), hex(c * 256 + d)]
  const dotted = `${a}.${b}.${c}.${d}`
  return [
    dotted,
    `${dotted}.`,
    String(whole),
    `0x${hex(whole)}`,
    `0${whole.toString(8)}`,
    `0x${hex(a)}.0x${hex(b)}.0x${hex(c)}.0x${hex(d)}`,
    `0${a.toString(8)}.0${b.toString(8)}.0${c.toString(8)}.0${d.toString(8)}`,
    `${a}.${b}.${c * 256 + d}`,
    `${a}.${(b * 256 + c) * 256 + d}`,
    `0x${hex(a)}.${b}.0${c.toString(8)}.${d}`,
    dotted.replaceAll(/\d/g, (digit) => `%3${digit}`),
    dotted.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
    dotted.replaceAll(".", "\u3002"),
    `[::ffff:${dotted}]`,
    `[::ffff:${high}:${low}]`,
    `[0:0:0:0:0:FFFF:${high}:${low}]`,
    `[::${dotted}]`,
    `[::ffff:0:${dotted}]`,
    `[64:ff9b::${dotted}]`,
    `[64:ff9b:1::${dotted}]`,
    `[2002:${high}:${low}::1]`,
    `[2001:0:${high}:${low}::1]`
  ]
}

describe("where a webhook may be aimed at", () => {
  it.effect.prop(
    "no spelling of an address that is not public",
    { b: Octet, c: Octet, d: Octet },
    ({ b, c, d }) =>
      Effect.gen(function* () {
        const destination = yield* Destination
        for (const host of ranges.flatMap((range) => spellings(range(b, c, d)))) {
          const found = yield* Effect.result(destination.check(`https://${host}/hook`))
          assert.isTrue(Result.isFailure(found) && found.failure._tag === "Refused", host)
        }
      }).pipe(allowing("")),
    runs()
  )

  it.effect("no address of IPv6 that is not public", () =>
    Effect.forEach(
      [
        "::",
        "::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "4000::1"
      ],
      (address) => refused(`https://[${address}]/`)
    )
  )

  it.effect("a public address, and a name of which all addresses are public", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* addresses("https://93.184.216.34:8443/hook?token=a"), ["93.184.216.34"])
      assert.deepStrictEqual(yield* addresses("https://[2606:2800:220:1::1]/"), ["2606:2800:220:1::1"])
      assert.deepStrictEqual(yield* addresses("https://public.example/"), ["93.184.216.34", "2606:2800:220:1::1"])
      for (const host of [
        "private.example",
        "mixed.example",
        "mapped.example",
        "localhost",
        "LOCALHOST",
        "localhost."
      ]) {
        assert.include(yield* refused(`https://${host}/`), "IDEM_WEBHOOK_ALLOW")
      }
      const unknown = yield* Effect.flip(check("https://unknown.example/"))
      assert.strictEqual(unknown._tag, "UnknownHost")
      assert.match(unknown.message, /the DNS does not know the host unknown\.example; .* IDEM_WEBHOOK_ALLOW/)
      // A name that only this machine knows has to be allowed by name.
      assert.strictEqual((yield* Effect.flip(check("https://hosts.example/", "10.0.0.0/8")))._tag, "UnknownHost")
      assert.deepStrictEqual(yield* addresses("http://hosts.example/", "hosts.example"), ["10.9.9.9"])
    })
  )

  it.effect("only by https, without a user, and with nothing of the URL in the error", () =>
    Effect.gen(function* () {
      const urls = [
        "http://public.example/s3cret",
        "http://93.184.216.34/s3cret",
        "ftp://public.example/s3cret",
        "file:///etc/s3cret",
        "gopher://127.0.0.1/s3cret",
        "https://user@public.example/s3cret",
        "https://user:s3cret@public.example/",
        "https://public.example/#s3cret",
        "s3cret",
        "https:///",
        `https://public.example/s3cret${"a".repeat(2048)}`
      ]
      for (const url of urls) assert.notInclude(yield* refused(url), "s3cret")
    })
  )

  it.effect("what IDEM_WEBHOOK_ALLOW lists, by http too, and nothing beside it", () =>
    Effect.gen(function* () {
      const allow = " 127.0.0.1, 10.0.0.0/8,fd00::/8 ,,Mixed.Example"
      assert.deepStrictEqual(yield* addresses("http://127.0.0.1:8080/", allow), ["127.0.0.1"])
      assert.deepStrictEqual(yield* addresses("http://2130706433/", allow), ["127.0.0.1"])
      assert.deepStrictEqual(yield* addresses("http://[::ffff:127.0.0.1]/", allow), ["127.0.0.1"])
      assert.deepStrictEqual(yield* addresses("http://private.example/", allow), ["10.1.2.3"])
      assert.deepStrictEqual(yield* addresses("http://[fd00::5]/", allow), ["fd00::5"])
      assert.deepStrictEqual(yield* addresses("http://mixed.example/", allow), ["93.184.216.34", "127.0.0.1"])
      for (const url of [
        "http://127.0.0.2/",
        "https://192.168.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "http://public.example/"
      ]) {
        yield* refused(url, allow)
      }
      yield* refused("https://mixed.example/", "127.0.0.2")
      assert.deepStrictEqual(yield* addresses("https://mixed.example/", "127.0.0.1"), ["93.184.216.34", "127.0.0.1"])
    })
  )

  it.effect("a setting that can't be read says which part is wrong", () =>
    Effect.gen(function* () {
      for (const part of ["10.0.0.0/33", "http://a/", "a b", "host:80", "user@host", "192.168/16", "127.1"]) {
        const error = yield* Effect.flip(check("https://public.example/", `127.0.0.1,${part}`))
        assert.deepInclude(error, { _tag: "Refused", setting: "IDEM_WEBHOOK_ALLOW" })
        assert.include(error.message, `IDEM_WEBHOOK_ALLOW: ${JSON.stringify(part)}`)
      }
    })
  )
})
