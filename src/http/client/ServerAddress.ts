/** The address and the token of a server: `IDEM_URL` and `IDEM_API_TOKEN`. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { isLoopback } from "../ServerSettings.ts"

export interface ServerAddress {
  /** The URL, without a trailing slash. */
  readonly url: string
  readonly token: Option.Option<Redacted.Redacted<string>>
  /** True if requests can't be read in transit: https, or this machine. */
  readonly isPrivate: boolean
}

/** Errors never repeat the text, because it may contain a password. */
const parse = (text: string): Result.Result<Omit<ServerAddress, "token">, string> => {
  const example = "give the server's address, like http://127.0.0.1:3000"
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return Result.fail(`IDEM_URL is not the address of a server: ${example}`)
  }
  if (url.username !== "" || url.password !== "") {
    return Result.fail(`IDEM_URL may not hold a name or a password: the token goes into IDEM_API_TOKEN`)
  }
  if (url.search !== "" || url.hash !== "")
    return Result.fail(`IDEM_URL may not hold a query or a fragment: ${example}`)
  return Result.succeed({
    url: `${url.origin}${url.pathname}`.replace(/\/+$/, ""),
    isPrivate: url.protocol === "https:" || isLoopback(url.hostname)
  })
}

/** Reads the server from the environment, if it is set. Fails if it is invalid. */
export const fromEnvironment: Effect.Effect<
  Result.Result<Option.Option<ServerAddress>, string>,
  Config.ConfigError
> = Effect.gen(function* () {
  const text = (yield* Config.String("IDEM_URL").pipe(Config.withDefault(""))).trim()
  if (text === "") return Result.succeed(Option.none())
  const given = yield* Config.Redacted("IDEM_API_TOKEN").pipe(Config.option)
  return Result.map(parse(text), (address) => Option.some({ ...address, token: given }))
})
