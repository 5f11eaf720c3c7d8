/** `idem connect`: creates a connection, or changes the one of this name, after reaching its source once. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Form from "../contract/Form.ts"
import type { Integration } from "../contract/Integration.ts"
import * as ConfigErrors from "../engine/source/ConfigErrors.ts"
import { Integrations } from "../engine/source/Integrations.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import type { Connected } from "../http/connections/ConnectionEndpoints.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Arguments from "./Arguments.ts"
import { Output, type Style } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const jsonFlag = (flag: string, description: string): Flag.Flag<Option.Option<Redacted.Redacted<string>>> =>
  Flag.Redacted(flag).pipe(Flag.withDescription(description), Flag.withMetavar("JSON|@FILE"), Flag.optional)

/**
 * Fields of credentials that are not secrets, so that errors may name them: accounts, and all fields of a key file
 * except the key.
 */
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

/** Returns the secret texts of the credentials, which an error of the source might repeat. */
const secrets = (json: Schema.Json, name = ""): ReadonlyArray<string> => {
  if (typeof json === "string") return json.length >= 4 && !open.has(name) ? [json] : []
  if (json === null || typeof json !== "object") return []
  return Object.entries(json).flatMap(([key, value]) => secrets(value, key))
}

const text = (
  { connection, created, firstSyncByBytesMs, firstSyncMs, items, leftOut }: Connected,
  style: Style
): string => {
  const name = TextFormat.oneLine(connection.name)
  return [
    `${style.good(created ? "connected" : "updated")} ${style.bold(name)}`,
    TextFormat.fields([
      ["  source", connection.domain],
      ["  account", TextFormat.oneLine(connection.account)],
      ["  holds", items === null ? "not known" : `about ${TextFormat.many(items, "item")}`],
      ...leftOut.map((what) => ["  left out", TextFormat.oneLine(what)] as const),
      [
        "  first sync",
        firstSyncMs === null
          ? "not known"
          : firstSyncByBytesMs === null
            ? `${TextFormat.about(Duration.millis(firstSyncMs))} at the quota`
            : `${TextFormat.about(Duration.millis(firstSyncMs))} by units, ${TextFormat.about(Duration.millis(firstSyncByBytesMs))} by bytes: the longer of the two`
      ],
      ["  polled", `every ${connection.every}, while \`idem serve\` runs`],
      ["  next", `idem sync ${TextFormat.shellWord(name)}`]
    ])
  ].join("\n")
}

/** Describes the credentials that the source accepts: `an access token, or …`. */
const waysIn = ({ credentialsSchema }: Integration): string =>
  Form.shapesOf(credentialsSchema)
    .map(({ title }) => `${title.charAt(0).toLowerCase()}${title.slice(1)}`)
    .join(", or ")

const helpOf = (domain: string): string => `idem connect ${domain} --help`

/** Fails if the integration does not accept this config. Without an integration, the remote server checks it. */
const checkConfig = Effect.fnUntraced(function* (integration: Integration | undefined, json: Schema.Json) {
  if (integration === undefined) return
  yield* Effect.mapError(integration.decodeConfig(json), (error) =>
    CommandFailure.usage(
      `--config: ${ConfigErrors.explain(error.issue, { secret: false })} (${helpOf(integration.domain)})`
    )
  )
})

/** Fails if the integration does not accept these credentials. */
const checkCredentials = Effect.fnUntraced(function* (integration: Integration | undefined, json: Schema.Json) {
  if (integration === undefined) return
  const help = helpOf(integration.domain)
  yield* Effect.mapError(integration.decodeCredentials(json), (error) => {
    const isMissing = JSON.stringify(json) === "{}" && integration.signIn !== undefined
    return CommandFailure.usage(
      isMissing
        ? '--credentials are missing: to sign in with the browser, give only {"clientId": …, "clientSecret": …}; ' +
            `or give ${waysIn(integration)} (${help})`
        : `--credentials: ${ConfigErrors.explain(error.issue, { secret: true })} (${help})`
    )
  })
})

/** Returns the connection of this name; undefined if there is none. Fails if it is one of another domain. */
const connectionToChange = Effect.fnUntraced(function* (input: { readonly domain: string; readonly name: string }) {
  const { connections } = yield* ApiClient
  const before = yield* connections.get({ params: { connection: input.name } }).pipe(
    Effect.map((found) => (found.name === input.name ? found : undefined)),
    Effect.catchTag("NotFoundProblem", () => Effect.undefined)
  )
  if (before !== undefined && before.domain !== input.domain) {
    return yield* CommandFailure.usage(
      `${input.name} is a connection of ${before.domain}, not of ${input.domain}: choose another name`
    )
  }
  return before
})

interface Flags {
  readonly domain: Option.Option<string>
  readonly name: Option.Option<string>
  readonly config: Option.Option<Redacted.Redacted<string>>
  readonly credentials: Option.Option<Redacted.Redacted<string>>
  readonly signIn: boolean
}

/** Reads the flags. On a terminal, asks for missing values, unless config or credentials were given. */
const asked = Effect.fnUntraced(function* (flags: Flags) {
  const { domain, name } = flags
  const { animate } = yield* Output
  const canAsk = animate && (yield* (yield* Stdio.Stdio).stdinIsTerminal)
  const isPartial = Option.isNone(domain) || Option.isNone(name)
  if (isPartial && canAsk && Option.isNone(flags.config) && Option.isNone(flags.credentials)) {
    const Questions = yield* Effect.promise(() => import("./ConnectQuestions.ts"))
    return yield* Effect.catchTag(Questions.ask({ domain, name }), "QuitError", () => Effect.interrupt)
  }
  if (Option.isNone(domain)) return yield* CommandFailure.usage("the domain is missing (idem connect --help)")
  if (Option.isNone(name)) return yield* CommandFailure.usage(`--name is missing (idem connect ${domain.value} --help)`)
  const json = (flag: string, given: Option.Option<Redacted.Redacted<string>>) =>
    Option.isSome(given) ? Arguments.json(flag, given.value) : Effect.undefined
  return {
    domain: domain.value,
    name: name.value,
    credentials: yield* json("credentials", flags.credentials),
    config: yield* json("config", flags.config),
    signIn: flags.signIn
  }
})

export const connect = Command.make(
  "connect",
  {
    domain: Argument.String("domain").pipe(
      Argument.withDescription("the kind of source, like gmail; asked for on a terminal"),
      Argument.optional
    ),
    name: Arguments.name.pipe(Flag.optional),
    config: jsonFlag("config", "what to mirror and how, as one JSON object"),
    credentials: jsonFlag("credentials", "how to log in, as one JSON object; better from a file: @FILE or @-"),
    every: Arguments.every,
    signIn: Arguments.flag("sign-in", "sign in with the browser, even if the connection has credentials")
  },
  Effect.fn("connect")(function* (flags) {
    const output = yield* Output
    const integrations = yield* Integrations
    const isRemote = yield* RemoteServer.isNamed
    const domains = yield* AppServices.domains
    if (Option.isSome(flags.domain) && !domains.includes(flags.domain.value) && !isRemote) {
      yield* integrations.get(flags.domain.value)
    }
    const input = yield* asked(flags)
    const isKnown = domains.includes(input.domain)
    // A remote server may have other integrations, and reports unknown domains itself.
    const integration = isKnown ? yield* integrations.get(input.domain) : undefined

    const given = input.credentials === undefined ? undefined : yield* Arguments.withKeyFile(input.credentials)
    // The name is displayed everywhere, so it can't be redacted, even if it equals a password.
    const hide = (json: Schema.Json | undefined) =>
      Effect.forEach(
        secrets(json ?? null).filter((secret) => secret !== input.name),
        output.hide,
        { discard: true }
      )
    yield* hide(given)
    // Loaded only for a sign-in, so that other commands start faster.
    const SignIn = integration?.signIn === undefined ? undefined : yield* Effect.promise(() => import("./SignIn.ts"))
    // Credentials that consist only of an OAuth client request a sign-in.
    const client = Option.getOrUndefined(SignIn?.clientIn(given) ?? Option.none())
    const credentials = client === undefined ? given : undefined
    if (input.signIn && SignIn === undefined) {
      return yield* CommandFailure.usage(`${input.domain} has no sign-in with the browser: give --credentials`)
    }
    if (input.signIn && credentials !== undefined) {
      return yield* CommandFailure.usage(
        "--sign-in gets the credentials: leave out --credentials, or give only the client id and secret in it"
      )
    }
    const { config } = input
    if (config !== undefined) yield* checkConfig(integration, config)
    if (credentials !== undefined) {
      yield* checkCredentials(integration, credentials)
      yield* RemoteServer.refuseInClear
    }

    yield* AppServices.ask(
      Effect.gen(function* () {
        const { connections } = yield* ApiClient
        const before = yield* connectionToChange(input)
        const isNew = before === undefined
        // A new connection without a config has an empty one, which may lack required fields.
        if (isNew && config === undefined) yield* checkConfig(integration, {})
        const at = config ?? before?.config ?? {}
        const known =
          client ??
          (SignIn === undefined || integration === undefined
            ? undefined
            : yield* SignIn.clientOfSettings(integration, at))
        const signsIn = input.signIn || client !== undefined || (isNew && given === undefined && known !== undefined)
        if (isNew && credentials === undefined && !signsIn) yield* checkCredentials(integration, {})
        const granted =
          signsIn && SignIn !== undefined && integration !== undefined
            ? yield* Effect.andThen(RemoteServer.refuseInClear, SignIn.run({ integration, config: at, client: known }))
            : credentials
        yield* hide(granted)
        // The grant belongs to the address at which it was issued, even if the config has changed meanwhile.
        const configured = config ?? (isNew || signsIn ? at : undefined)
        const payload = {
          ...(configured === undefined ? {} : { config: configured }),
          ...Arguments.given("every", flags.every)
        }
        const secret = granted === undefined ? {} : { credentials: Redacted.make(granted) }
        const connected = yield* before === undefined
          ? connections.create({ payload: { ...payload, ...secret, domain: input.domain, name: input.name } })
          : connections.change({
              params: { connection: before.id },
              payload: { ...payload, ...secret, ...(signsIn ? { signedIn: true } : {}) }
            })
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
            next: `idem sync ${TextFormat.shellWord(connected.connection.name)}`
          },
          () => text(connected, output.style)
        )
      })
    )
  })
).pipe(
  Command.withDescription("Connect an account, or change a connection"),
  Command.withExamples([
    { command: "idem connect", description: "Asks for everything, on a terminal" },
    {
      command: "idem connect gmail --help",
      description: "The fields of a source, and where its credentials come from"
    },
    {
      command: `idem connect gmail --name work --credentials @client.json`,
      description: "A Gmail account, by signing in with the browser; the OAuth client is in the file"
    },
    {
      command: `idem connect ftp --name docs --config '{"protocol": "sftp", "host": "files.example.com"}' --credentials @-`,
      description: "An SFTP server, the password from standard input"
    }
  ])
)
