/** Checks the URL of a webhook: it must be a public address with https, or be listed in `IDEM_WEBHOOK_ALLOW`. */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Dns from "effect/net/Dns"
import * as AddressGuard from "../network/AddressGuard.ts"

const longestUrl = 2048

const refuse = (why: string) => Effect.fail(new AddressGuard.Refused({ message: `url: ${why}` }))

/** Parses the URL of a webhook. The error never repeats the URL, which may contain a token. */
const parseUrl = (text: string): Effect.Effect<URL, AddressGuard.Refused> => {
  const url = text.length > longestUrl ? null : URL.parse(text)
  if (url === null) return refuse(`it must be a URL of at most ${longestUrl} characters, as https://example.com/hook`)
  if (url.protocol !== "https:" && url.protocol !== "http:") return refuse("it must begin with https://")
  if (url.username !== "" || url.password !== "") return refuse("it may not hold a user name or a password")
  if (url.hash !== "") return refuse("it may not hold a fragment (#…), which is never sent")
  return Effect.succeed(url)
}

export class Destination extends Context.Service<
  Destination,
  {
    /**
     * Returns the addresses that a request to this URL may connect to: all present addresses of its host, at least one.
     */
    readonly check: (
      url: string
    ) => Effect.Effect<
      { readonly url: URL; readonly addresses: ReadonlyArray<string> },
      AddressGuard.Refused | AddressGuard.UnknownHost
    >
  }
>()("idem/engine/webhooks/Destination") {}

export const layer: Layer.Layer<Destination, AddressGuard.Refused | Config.ConfigError, Dns.Dns> = Layer.effect(
  Destination,
  Effect.map(AddressGuard.make("IDEM_WEBHOOK_ALLOW"), (guard) =>
    Destination.of({
      check: Effect.fnUntraced(function* (text) {
        const url = yield* parseUrl(text)
        const addresses = yield* guard.addressesOf(url.hostname, { isSecure: url.protocol === "https:" }).pipe(
          Effect.catchTags({
            Refused: ({ message }) => refuse(message),
            UnknownHost: ({ message }) => Effect.fail(new AddressGuard.UnknownHost({ message: `url: ${message}` }))
          })
        )
        return { url, addresses }
      })
    })
  )
)
