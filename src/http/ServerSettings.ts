/** The server's settings: its address, and who may call it. They are read once, when it starts. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as DurationSetting from "../engine/DurationSetting.ts"

/** The settings do not allow the server to start. The message says what to do. */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  message: Schema.String,
  /** The name of the setting that is wrong, if a setting is the cause. */
  setting: Schema.optionalKey(Schema.String)
}) {}

/** The least length of a token. At ten guesses a minute, a token of this length is not found. */
const shortestToken = 16

const howToMake = `make one with: node -p "crypto.randomBytes(32).toString('base64url')"`

/** Returns true if this host name or address is loopback. */
export const isLoopback = (host: string): boolean => {
  if (host === "localhost" || host.endsWith(".localhost")) return true
  const address = NetAddress.ipFromString(host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host)
  return Result.isSuccess(address) && NetAddress.isLoopback(NetAddress.toCanonical(address.success))
}

export class Settings extends Context.Service<
  Settings,
  {
    readonly host: string
    /** The port; 0 uses any free port. */
    readonly port: number
    /** The token. Undefined: the server is open to this machine only. */
    readonly token: Redacted.Redacted<string> | undefined
    /** Proxies whose `X-Forwarded-…` headers are trusted. */
    readonly proxies: ReadonlyArray<IpNetwork.IpNetwork>
    /** How long requests in progress may take after the shutdown has begun. */
    readonly grace: Duration.Duration
  }
>()("idem/http/ServerSettings") {
  /**
   * Reads `HOST` (127.0.0.1), `PORT` (3000), `IDEM_API_TOKEN`, `IDEM_TRUSTED_PROXIES` (addresses or networks, separated
   * by commas; none), and `IDEM_SHUTDOWN_TIMEOUT` (30 seconds), of which the server uses a part.
   */
  static readonly layer: Layer.Layer<Settings, Config.ConfigError | ListenError> = Layer.effect(
    Settings,
    Effect.gen(function* () {
      const host = yield* Config.String("HOST").pipe(Config.withDefault("127.0.0.1"))
      const port = yield* Config.schema(Schema.Port, "PORT").pipe(Config.withDefault(3000))
      const given = yield* Config.option(Config.Redacted("IDEM_API_TOKEN"))
      const token = Option.getOrUndefined(Option.filter(given, (value) => Redacted.value(value) !== ""))
      const refuse = (setting: string, message: string) => new ListenError({ setting, message })
      if (token === undefined && !isLoopback(host)) {
        return yield* refuse(
          "HOST",
          `HOST ${host} can be reached from other machines, so IDEM_API_TOKEN must be set: ${howToMake}`
        )
      }
      if (token !== undefined && Redacted.value(token).length < shortestToken) {
        return yield* refuse(
          "IDEM_API_TOKEN",
          `IDEM_API_TOKEN must have at least ${shortestToken} characters: ${howToMake}`
        )
      }
      if (token !== undefined && !/^[\x21-\x7e]+$/.test(Redacted.value(token))) {
        return yield* refuse(
          "IDEM_API_TOKEN",
          `IDEM_API_TOKEN may have only letters, digits and signs, because it is sent in a header: ${howToMake}`
        )
      }
      const listed = yield* Config.String("IDEM_TRUSTED_PROXIES").pipe(Config.withDefault(""))
      const words = listed.split(",").map((word) => word.trim())
      const proxies = yield* Effect.forEach(
        words.filter((word) => word !== ""),
        (word) => {
          const network: Result.Result<IpNetwork.IpNetwork, NetAddress.NetAddressError> = word.includes("/")
            ? IpNetwork.fromString(word)
            : Result.flatMap(NetAddress.ipFromString(word), (address) =>
                IpNetwork.make(address, NetAddress.width(address))
              )
          return Result.isSuccess(network)
            ? Effect.succeed(network.success)
            : refuse(
                "IDEM_TRUSTED_PROXIES",
                `IDEM_TRUSTED_PROXIES: ${JSON.stringify(word)} is neither an address nor a network (like 10.0.0.0/8)`
              )
        }
      )
      // The rest of the time is for polling, which stops after the server.
      const shutdown = yield* DurationSetting.shutdownTimeout
      const grace = Duration.min(Duration.seconds(5), Duration.divideUnsafe(shutdown, 3))
      return Settings.of({ host, port, token, proxies, grace })
    })
  )
}
