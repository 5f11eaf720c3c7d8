/** `idem connect`: creates a connection, or changes the one of this name, after reaching its source once. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as ConfigErrors from "../engine/source/ConfigErrors.ts"
import { Integrations, unknown } from "../engine/source/Integrations.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import type { Connected } from "../http/connections/ConnectionEndpoints.ts"
import * as Failure from "./CommandFailure.ts"
import * as Input from "./Arguments.ts"
import { Output, type Style } from "./Output.ts"
import * as Server from "./RemoteServer.ts"
import * as Services from "./AppServices.ts"
import * as Text from "./TextFormat.ts"

const jsonFlag = (flag: string, description: string): Flag.Flag<Option.Option<Redacted.Redacted<string>>> =>
  Flag.Redacted(flag).pipe(Flag.withDescription(description), Flag.withMetavar("JSON|@FILE"), Flag.optional)

/** Fields of credentials that are not secrets, and that errors name: accounts, and all but the key in a key file. */
const open = new Set([
  "username",
  "clientId",
  "subject",
  "type",
  "project_id",
  "client_email",
  "client_id",
  "private_key_id",
  "token_uri",
  "auth_uri",
  "auth_provider_x509_cert_url",
  "client_x509_cert_url",
  "universe_domain"
])

/** The secret texts of the credentials, which an error of the source could repeat. */
const secrets = (json: Schema.Json, name = ""): ReadonlyArray<string> => {
  if (typeof json === "string") return json.length >= 4 && !open.has(name) ? [json] : []
  if (json === null || typeof json !== "object") return []
  return Object.entries(json).flatMap(([key, value]) => secrets(value, key))
}

const text = (
  { connection, created, firstSyncByBytesMs, firstSyncMs, items, leftOut }: Connected,
  style: Style
): string => {
  const name = Text.oneLine(connection.name)
  return [
    `${style.good(created ? "connected" : "updated")} ${style.bold(name)}`,
    Text.fields([
      ["  source", connection.domain],
      ["  account", Text.oneLine(connection.account)],
      ["  holds", items === null ? "not known" : `about ${Text.many(items, "item")}`],
      ...leftOut.map((what) => ["  left out", Text.oneLine(what)] as const),
      [
        "  first sync",
        firstSyncMs === null
          ? "takes a time not known"
          : firstSyncByBytesMs === null
            ? `takes ${Text.about(Duration.millis(firstSyncMs))} at the quota, or a little more`
            : `takes ${Text.about(Duration.millis(firstSyncMs))} by units, ${Text.about(Duration.millis(firstSyncByBytesMs))} by bytes: the longer of the two, or a little more`
      ],
      ["  polled", `every ${connection.every}, while \`idem serve\` runs`],
      ["  next", `idem sync ${Text.shellWord(name)}`]
    ])
  ].join("\n")
}

export const connect = Command.make(
  "connect",
  {
    domain: Argument.String("domain").pipe(Argument.withDescription("the kind of source, like gmail")),
    name: Input.name,
    config: jsonFlag("config", "what to mirror and how, as one JSON object"),
    credentials: jsonFlag("credentials", "how to log in, as one JSON object; better from a file: @FILE or @-"),
    every: Input.every,
    signIn: Flag.Boolean("sign-in").pipe(
      Flag.withDescription("sign in with the browser, also where the connection has credentials"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("connect")(function* (input) {
    const output = yield* Output
    const integrations = yield* Integrations
    const isRemote = yield* Server.isNamed
    const domains = yield* Services.domains
    const isKnown = domains.includes(input.domain)
    // A remote server may have other integrations, and reports unknown domains itself.
    if (!isKnown && !isRemote) return yield* Failure.usage(unknown(input.domain, domains))
    const integration = isKnown ? yield* integrations.get(input.domain) : undefined

    const checkConfig = Effect.fnUntraced(function* (json: Schema.Json) {
      if (integration === undefined) return
      yield* Effect.mapError(integration.decodeConfig(json), (error) =>
        Failure.usage(`--config: ${ConfigErrors.explain(error.issue, { secret: false })}`)
      )
    })
    const checkCredentials = Effect.fnUntraced(function* (json: Schema.Json) {
      if (integration === undefined) return
      yield* Effect.mapError(integration.decodeCredentials(json), (error) =>
        Failure.usage(`--credentials: ${ConfigErrors.explain(error.issue, { secret: true })}`)
      )
    })

    const given = Option.isSome(input.credentials)
      ? yield* Effect.flatMap(Input.json("credentials", input.credentials.value), Input.withKeyFile)
      : undefined
    for (const secret of secrets(given ?? null)) yield* output.hide(secret)
    // Loaded only for a sign-in, because every command would pay for it at its start.
    const SignIn = integration?.signIn === undefined ? undefined : yield* Effect.promise(() => import("./SignIn.ts"))
    // Credentials that are only an OAuth client ask for a sign-in.
    const client = Option.getOrUndefined(SignIn?.clientIn(given) ?? Option.none())
    const credentials = client === undefined ? given : undefined
    if (input.signIn && SignIn === undefined) {
      return yield* Failure.usage(`accounts of ${input.domain} are not signed in with a browser: give --credentials`)
    }
    if (input.signIn && credentials !== undefined) {
      return yield* Failure.usage("--sign-in gives credentials: leave out --credentials, or give only the client in it")
    }
    const config = Option.isSome(input.config) ? yield* Input.json("config", input.config.value) : undefined
    if (config !== undefined) yield* checkConfig(config)
    if (credentials !== undefined) {
      yield* checkCredentials(credentials)
      yield* Server.refuseInClear
    }

    yield* Services.ask(
      Effect.gen(function* () {
        const { connections } = yield* ApiClient
        const before = yield* connections.get({ params: { connection: input.name } }).pipe(
          Effect.map((found) => (found.name === input.name ? found : undefined)),
          Effect.catchTag("NotFoundProblem", () => Effect.undefined)
        )
        if (before !== undefined && before.domain !== input.domain) {
          return yield* Failure.usage(
            `${input.name} is a connection of ${before.domain}, not of ${input.domain}: choose another name`
          )
        }
        const isNew = before === undefined
        // A new connection without a config has an empty one, which may lack required fields.
        if (isNew && config === undefined) yield* checkConfig({})
        const at = config ?? before?.config ?? {}
        const known =
          client ??
          (SignIn === undefined || integration === undefined
            ? undefined
            : yield* SignIn.clientOfSettings(integration, at))
        const signsIn = input.signIn || client !== undefined || (isNew && given === undefined && known !== undefined)
        if (isNew && credentials === undefined && !signsIn) yield* checkCredentials({})
        const granted =
          signsIn && SignIn !== undefined && integration !== undefined
            ? yield* Effect.andThen(Server.refuseInClear, SignIn.run({ integration, config: at, client: known }))
            : credentials
        for (const secret of secrets(granted ?? null)) yield* output.hide(secret)
        // A grant belongs to the address at which it was made, even if the config has changed meanwhile.
        const configured = config ?? (isNew || signsIn ? at : undefined)
        const payload = {
          ...(configured === undefined ? {} : { config: configured }),
          ...(Option.isNone(input.every) ? {} : { every: input.every.value })
        }
        const secret = granted === undefined ? {} : { credentials: Redacted.make(granted) }
        const connected = yield* before === undefined
          ? connections.create({ payload: { ...payload, ...secret, domain: input.domain, name: input.name } })
          : connections.change({ params: { connection: before.id }, payload: { ...payload, ...secret } })
        yield* output.answer(
          {
            connection: connected.connection.name,
            created: connected.created,
            domain: connected.connection.domain,
            account: connected.connection.account,
            every: connected.connection.every,
            items: connected.items,
            leftOut: connected.leftOut,
            firstSyncMs: connected.firstSyncMs,
            firstSyncByBytesMs: connected.firstSyncByBytesMs,
            next: `idem sync ${Text.shellWord(connected.connection.name)}`
          },
          () => text(connected, output.style)
        )
      })
    )
  })
).pipe(
  Command.withDescription("Connect an account, or change a connection"),
  Command.withExamples([
    {
      command: `idem connect gmail --name work --credentials @token.json`,
      description: "A Gmail account, its token in a file"
    },
    {
      command: `idem connect gmail --name work --credentials '{"clientId": "…", "clientSecret": "…"}'`,
      description: "The same, by signing in with the browser"
    },
    {
      command: `idem connect ftp --name docs --config '{"protocol": "sftp", "host": "files.example.com"}' --credentials @-`,
      description: "An SFTP server, the password from standard input"
    }
  ])
)
