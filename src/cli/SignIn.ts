/**
 * Signs in at a provider from the command line (RFC 8252). The provider redirects the browser to a port of this
 * machine, on which this command listens until the sign-in ends.
 */
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import { spawn } from "node:child_process"
import * as Http from "node:http"
import type { Integration } from "../contract/Integration.ts"
import type { Client } from "../contract/SignIn.ts"
import * as Network from "../contract/Network.ts"
import * as OAuth from "../engine/source/OAuth.ts"
import * as EngineSignIn from "../engine/source/SignIn.ts"
import * as MessageText from "../engine/MessageText.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"

/** How long a person has to sign in. */
const timeToSignIn = Duration.minutes(5)

const GivenClient = Schema.toCodecJson(
  Schema.Struct({
    clientId: Schema.NonEmptyString,
    clientSecret: Schema.optionalKey(Schema.Redacted(Schema.NonEmptyString))
  })
)

/** The file of a client in the form of Google's console. */
const DownloadedClient = Schema.toCodecJson(
  Schema.Struct({ client_id: Schema.NonEmptyString, client_secret: Schema.Redacted(Schema.NonEmptyString) })
)
const Downloaded = Schema.Union([
  Schema.Struct({ installed: DownloadedClient }),
  Schema.Struct({ web: DownloadedClient })
])

/** Returns the OAuth client in these credentials if they contain nothing else. Such credentials request a sign-in. */
export const clientIn = (credentials: unknown): Option.Option<Client> =>
  Option.orElse(
    Option.map(
      Schema.decodeUnknownOption(GivenClient)(credentials, { onExcessProperty: "error" }),
      ({ clientId, clientSecret }): Client => ({ clientId, clientSecret })
    ),
    () =>
      Option.map(Schema.decodeUnknownOption(Downloaded)(credentials), (file): Client => {
        const client = "installed" in file ? file.installed : file.web
        return { clientId: client.client_id, clientSecret: client.client_secret }
      })
  )

export const clientOfSettings = EngineSignIn.clientOfSettings

const page = (title: string, text: string) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Idem</title>` +
  `<h1>${title}</h1><p>${text}</p></html>`

const headers = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  connection: "close"
}

/** Listens on this machine. `arrived` is the query of the redirect. Requests with another `state` are ignored. */
const listen = (
  port: number
): Effect.Effect<
  {
    readonly port: number
    readonly arrived: (state: string) => Effect.Effect<URLSearchParams>
  },
  CommandFailure.Failure,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const arrived = yield* Deferred.make<URLSearchParams>()
    let expected: string | undefined
    const server = Http.createServer((request, response) => {
      const url = new URL(request.url ?? "/", "http://localhost")
      const answer = (status: number, body: string, then = () => {}) => {
        response.writeHead(status, headers)
        response.end(body, then)
      }
      if (url.pathname !== "/callback" || request.method !== "GET") return answer(404, page("Not here", ""))
      if (expected === undefined || url.searchParams.get("state") !== expected) {
        return answer(400, page("Not this one", "This is not the sign-in that idem waits for."))
      }
      const isRefused = url.searchParams.has("error")
      const body = isRefused
        ? page("Not signed in", "The provider did not let us in. The terminal says more.")
        : page("Thank you", "You may close this page: the terminal goes on.")
      answer(200, body, () => Deferred.doneUnsafe(arrived, Effect.succeed(url.searchParams)))
    })
    yield* Effect.acquireRelease(
      Effect.callback<void, CommandFailure.Failure>((resume) => {
        server.once("error", () =>
          resume(
            Effect.fail(CommandFailure.failed("SignIn", `can't listen on port ${port} of 127.0.0.1: is it in use?`))
          )
        )
        server.listen(port, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    const address = server.address()
    return {
      port: typeof address === "object" && address !== null ? address.port : port,
      arrived: (state) =>
        Effect.suspend(() => {
          expected = state
          return Deferred.await(arrived)
        })
    }
  })

/**
 * Opens the page in a browser, if stderr is a terminal of a desktop. A failure is not reported, because the address is
 * printed too.
 */
const openBrowser = Effect.fnUntraced(function* (url: string) {
  const stdio = yield* Stdio.Stdio
  const isWatched = (yield* stdio.stdinIsTerminal) && (yield* stdio.stderrIsTerminal)
  const set = (name: string) => Effect.orElseSucceed(Config.String(name), () => "")
  const hasDisplay = (yield* set("DISPLAY")) !== "" || (yield* set("WAYLAND_DISPLAY")) !== ""
  const isRemote = (yield* set("SSH_CONNECTION")) !== ""
  if (!isWatched || isRemote) return
  const command =
    process.platform === "darwin" ? "open" : process.platform === "linux" && hasDisplay ? "xdg-open" : undefined
  if (command === undefined) return
  yield* Effect.sync(() => {
    const child = spawn(command, [url], { stdio: "ignore", detached: true })
    child.on("error", () => {})
    child.unref()
  })
})

/** `IDEM_SIGN_IN_PORT`: a fixed port, for providers where it must be registered. Default: any free port. */
const port = Config.Port("IDEM_SIGN_IN_PORT").pipe(Config.withDefault(0))

/** Sends the person to the provider, waits for the redirect, and returns the credentials in clear. */
export const run = Effect.fnUntraced(function* (options: {
  readonly integration: Integration
  readonly config: unknown
  readonly client: Client | undefined
}) {
  const { integration } = options
  const output = yield* Output
  const { address, provider, signIn } = yield* EngineSignIn.providerOf(integration, options.config)
  const client = yield* EngineSignIn.usableClient(integration, options.client, address)
  if (client.clientSecret !== undefined) yield* output.hide(Redacted.value(client.clientSecret))
  const server = yield* listen(yield* port)
  const redirectUri = `http://${signIn.loopbackHost}:${server.port}/callback`
  const { pending, url } = yield* OAuth.begin({ signIn, provider, client, redirectUri })
  yield* output.note(`sign in with your browser, within ${MessageText.duration(timeToSignIn)}:\n\n  ${url}\n`)
  yield* openBrowser(url)
  const parameters = yield* server.arrived(pending.state).pipe(
    Effect.timeoutOrElse({
      duration: timeToSignIn,
      orElse: () => Effect.fail(CommandFailure.failed("SignIn", "nobody signed in within 5 minutes: begin again"))
    })
  )
  return yield* OAuth.finish({ signIn, provider, pending, parameters, network: Network.direct })
}, Effect.scoped)
