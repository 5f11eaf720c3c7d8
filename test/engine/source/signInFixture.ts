/** Sign-ins at a provider, and the connections that they make. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import * as SignIn from "../../../src/engine/source/SignIn.ts"
import type { Store } from "../../../src/engine/Store.ts"
import * as SyncEngine from "../../../src/engine/sync/SyncEngine.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { integration as gmail } from "../../../src/integrations/Gmail.ts"
import { integration as slack } from "../../../src/integrations/Slack.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Provider from "../../support/Provider.ts"

export const me = "me@example.com"
export const redirectUri = "http://127.0.0.1:3000/sign-in/callback"

const key = Redacted.make<Uint8Array>(randomBytes(32))

export const layerOver = (store: Layer.Layer<Store>) =>
  SignIn.layer.pipe(
    Layer.provideMerge(SyncEngine.layer),
    Layer.provideMerge(
      Layer.mergeAll(
        store,
        Quotas.layerMemory,
        Layer.effect(Vault.Vault, Vault.make(key)),
        Integrations.layer({ gmail: Effect.succeed(gmail), slack: Effect.succeed(slack) })
      )
    )
  )

export const layer = layerOver(Memory.layer)

export const client = { clientId: Provider.client.clientId, clientSecret: Redacted.make(Provider.client.clientSecret) }

export const begin = (input: Partial<SignIn.BeginInput>) =>
  SignIn.SignIn.use((signIn) =>
    signIn.begin({
      domain: "gmail",
      name: "me",
      config: {},
      every: undefined,
      client,
      redirectUri,
      browser: "a browser",
      ...input
    })
  )

export const finish = (parameters: URLSearchParams, browser = "a browser") =>
  SignIn.SignIn.use((signIn) => signIn.finish({ parameters, browser }))
