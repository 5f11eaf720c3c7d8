/**
 * `rest` makes an integration of a description of a paginated REST API: where the items are, how pages follow each
 * other, and what an item becomes.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { OpenOptions } from "./Definition.ts"
import { field } from "./Field.ts"
import * as Integration from "./Integration.ts"
import { Checkpoint, openSession } from "./RestSession.ts"
import type { RestSource } from "./RestSource.ts"

const compile = <Config extends object, Credentials>(
  source: RestSource<Config>,
  credentials: Schema.Codec<Credentials, unknown>,
  headersOf: (credentials: Credentials) => Readonly<Record<string, string>>
): Integration.Integration => {
  const { address, callTimeout, config, deletionLimits, domain, guide, leftOut, projection, quota, scope } = source
  const { summary, title } = source
  const about = { domain, title, summary, guide, config, scope, address, quota, leftOut, callTimeout, projection }
  return Integration.make({
    ...about,
    deletionLimits,
    credentials,
    checkpoint: Checkpoint,
    open: (options: OpenOptions<Config, Credentials>) => Effect.sync(() => openSession(source, headersOf, options))
  })
}

const secret = (title: string, description: string) => field(Schema.Redacted(Schema.String), { title, description })

/** Makes an integration of the description of a REST API. */
export const rest = <Config extends object>(source: RestSource<Config>): Integration.Integration => {
  const { auth } = source
  if (auth.type === "none") return compile(source, Schema.Struct({}), () => ({}))
  if (auth.type === "bearer") {
    return compile(source, Schema.Struct({ token: secret("Token", "Sent as a bearer token.") }), ({ token }) => ({
      authorization: `Bearer ${Redacted.value(token)}`
    }))
  }
  if (auth.type === "header") {
    return compile(source, Schema.Struct({ key: secret("Key", `Sent in the header ${auth.name}.`) }), ({ key }) => ({
      [auth.name]: Redacted.value(key)
    }))
  }
  const username = field(Schema.String, { title: "User name", description: "The account at the source." })
  return compile(
    source,
    Schema.Struct({ username, password: secret("Password", "Sent with the user name (HTTP Basic).") }),
    (login) => ({
      authorization: `Basic ${Buffer.from(`${login.username}:${Redacted.value(login.password)}`).toString("base64")}`
    })
  )
}
