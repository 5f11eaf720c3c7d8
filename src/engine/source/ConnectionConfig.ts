/** The config of a connection with its secrets, which documents mask (see contract/ConfigSecrets.ts). */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { mask } from "../../contract/ConfigSecrets.ts"
import type { DecodedConfig, Integration } from "../../contract/Integration.ts"
import { UsageError } from "../Engine.ts"
import * as MessageText from "../MessageText.ts"
import type { Connection } from "../model/Connection.ts"
import * as CredentialAddress from "../network/CredentialAddress.ts"
import type { Integrations } from "./Integrations.ts"

/**
 * Returns the config that a connection should have: the given one with the stored secrets where it masks or omits them,
 * or the stored one if none is given.
 */
export const wanted = (
  integration: Integration,
  given: unknown,
  before: Connection | undefined
): Effect.Effect<{ readonly config: unknown; readonly isKept: boolean }, UsageError> =>
  Effect.suspend(() => {
    if (given === undefined || given === null) return Effect.succeed({ config: before?.config ?? {}, isKept: false })
    const { config, isKept, missing } = integration.keepSecrets(given as Schema.Json, before?.config)
    if (missing === undefined) return Effect.succeed({ config, isKept })
    const message = `${missing}: give the secret, because "${mask}" stands for a stored one, and there is none`
    return Effect.fail(
      new UsageError({
        message: `the config of ${integration.domain} is not valid: ${message}`,
        errors: [{ place: "config", field: missing, message }]
      })
    )
  })

/**
 * Fails if stored secrets would be sent to a changed address: the person who changes the address may control the new
 * one, so the secrets must be given again.
 */
export const requireSameAddress = Effect.fnUntraced(function* (
  integration: Integration,
  before: Connection,
  config: DecodedConfig,
  secrets: "credentials" | "secrets of the config"
) {
  const fields = CredentialAddress.changed(yield* CredentialAddress.of(integration, before.config), config.address)
  if (fields.length === 0) return
  return yield* new UsageError({
    needsCredentials: true,
    message:
      `${fields.join(" and ")} of ${MessageText.quoted(before.name)} says where its ${secrets} are sent, ` +
      `and those that are stored were given for another address: give the ${secrets} again together with this ` +
      "change, or connect it under another name"
  })
})

/**
 * Returns a function from a connection to its config for documents. The config is null if this process does not have
 * the integration, because it does not know the secrets then.
 */
export const shown = Effect.fnUntraced(function* (
  integrations: Integrations["Service"],
  connections: ReadonlyArray<Connection>
) {
  const domains = [...new Set(connections.map(({ domain }) => domain))]
  const found = yield* Effect.forEach(domains, (domain) => Effect.option(integrations.get(domain)))
  const byDomain = new Map(found.flatMap((each) => (each._tag === "Some" ? [[each.value.domain, each.value]] : [])))
  return ({ config, domain }: Connection): Schema.Json => byDomain.get(domain)?.maskConfig(config) ?? null
})
