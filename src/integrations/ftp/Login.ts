/** Opens the server of a connection: checks what its protocol allows, and logs in with its credentials. */
import * as Environment from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { OpenOptions } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import { direct } from "../../contract/Network.ts"
import * as BasicFtp from "./BasicFtp.ts"
import { type Config, type Credentials, portOf, usernameOf } from "./Config.ts"
import * as KnownHosts from "./KnownHosts.ts"
import * as Remote from "./Remote.ts"
import * as Errors from "../server/Errors.ts"
import * as Sftp from "./Sftp.ts"

const reveal = (secret: Redacted.Redacted<string> | undefined) =>
  secret === undefined ? undefined : Redacted.value(secret)

/** The socket of the ssh-agent. */
const agentSocket = Environment.String("SSH_AUTH_SOCK").pipe(
  Effect.mapError(() =>
    Errors.unauthorized(
      `"agent" in the credentials needs a running ssh-agent: start Idem with SSH_AUTH_SOCK set, or give a "privateKey"`
    )
  )
)

/** Returns the server of a connection. It logs in at the first request. */
export const open = ({
  call,
  config,
  credentials,
  network,
  saveCredentials
}: OpenOptions<Config, Credentials>): Effect.Effect<Remote.Remote, IntegrationError, Scope.Scope> => {
  const key = "privateKey" in credentials ? credentials : undefined
  const usesAgent = "agent" in credentials
  const password = "password" in credentials ? reveal(credentials.password) : undefined
  const common = {
    call,
    network,
    host: config.host,
    port: portOf(config),
    username: usernameOf(credentials),
    root: config.root ?? "",
    connections: config.connections ?? 4,
    timeout: Duration.toMillis(config.timeout ?? "30 seconds")
  }
  if (config.protocol === "sftp") {
    const { hostKey = credentials.knownHost } = config
    const hostKeys =
      hostKey === undefined
        ? KnownHosts.read(common.host, common.port)
        : Effect.succeed(typeof hostKey === "string" ? [hostKey] : hostKey)
    const options = (known: ReadonlyArray<string>, agent: string | undefined): Sftp.Options => ({
      ...common,
      hostKeys: known,
      agent,
      learn: (knownHost) =>
        Effect.andThen(
          Effect.logWarning(
            `${common.host}:${common.port} is trusted on first use, with the host key ${knownHost}: compare it`
          ),
          saveCredentials({ ...credentials, knownHost })
        ),
      password,
      privateKey: reveal(key?.privateKey),
      passphrase: reveal(key?.passphrase)
    })
    // A connection that was created over HTTP must not log in with the keys of the person who runs Idem.
    if (usesAgent && network !== direct) {
      return Effect.fail(
        Errors.unauthorized(
          `"agent" in the credentials needs a connection that is made by idem connect on the machine itself, not over HTTP`
        )
      )
    }
    return Effect.gen(function* () {
      const agent = usesAgent ? yield* agentSocket : undefined
      return yield* Sftp.make(options(yield* hostKeys, agent))
    })
  }
  if (key !== undefined || usesAgent) {
    return Effect.fail(Errors.unauthorized(`${config.protocol} logs in with a password, a private key is for sftp`))
  }
  const implicit = config.implicit ?? common.port === 990
  return BasicFtp.make({
    ...common,
    // Servers accept any password for an anonymous login; an email address is customary (RFC 1635).
    password: password ?? "anonymous@",
    secure: config.protocol === "ftp" ? false : implicit ? "implicit" : "explicit",
    ca: config.ca,
    verifyCertificate: config.verifyCertificate ?? true
  })
}
