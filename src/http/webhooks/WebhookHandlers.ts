/** The handlers of webhooks. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Cursor from "../../engine/feed/Cursor.ts"
import type { ChangeKind } from "../../engine/model/Change.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { UsageError } from "../../engine/Engine.ts"
import { Vault, type VaultError } from "../../engine/secrets/Vault.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { FeedStore } from "../../engine/store/FeedStore.ts"
import * as Delivery from "../../engine/webhooks/Delivery.ts"
import { Destination } from "../../engine/webhooks/Destination.ts"
import * as Payload from "../../engine/webhooks/Payload.ts"
import { Sender } from "../../engine/webhooks/Sender.ts"
import * as Signature from "../../engine/webhooks/Signature.ts"
import { maxWebhooks, MessageId, type Webhook, WebhookId } from "../../engine/model/Webhook.ts"
import { WebhookStore } from "../../engine/store/WebhookStore.ts"
import { CommandApi } from "../CommandApi.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import { asProblem, ConflictProblem, NotFoundProblem } from "../Problems.ts"
import * as Documents from "./WebhookDocuments.ts"

/** How long the previous secret also signs after a rotation. */
const overlap = Duration.hours(24)

/** A position after every transaction, so that nothing has changed after it yet. */
const end = 2n ** 63n - 1n

const encodePing = Schema.encodeEffect(Schema.fromJsonString(Payload.Ping))

const kindsOf = (changes: ReadonlyArray<ChangeKind> | null) =>
  changes === null || changes.length === 0 ? null : [...new Set(changes)]

const secretOf = (given: Redacted.Redacted | undefined) =>
  given === undefined ? Signature.generate : Signature.check(given)

const absent = (id: string) =>
  new NotFoundProblem({
    what: "webhook",
    detail: `there is no webhook ${JSON.stringify(id)}; see the list of webhooks`
  })

export const layer = HttpApiBuilder.group(
  CommandApi,
  "webhooks",
  Effect.fn(function* (handlers) {
    const connections = yield* ConnectionStore
    const feedStore = yield* FeedStore
    const webhooks = yield* WebhookStore
    const destination = yield* Destination
    const sender = yield* Sender
    const vault = yield* Vault
    const random = yield* SecureRandom.SecureRandom

    const find = Effect.fnUntraced(function* (id: string) {
      const row = yield* webhooks.webhook(WebhookId.make(id))
      return Option.isNone(row) ? yield* absent(id) : row.value
    })

    /** Returns the webhook's document, with the counts of its messages. */
    const document = Effect.fnUntraced(function* (id: string) {
      const found = (yield* webhooks.webhooks).find(({ webhook }) => webhook.id === id)
      return found === undefined ? yield* absent(id) : Documents.webhook(found.webhook, found)
    })

    const connectionOf = (ref: string) =>
      ConnectionLookup.find(connections, ref).pipe(
        Effect.map(({ id }) => id),
        Effect.catchTag("NotFoundProblem", ({ message, what }) =>
          Effect.fail(new NotFoundProblem({ what, detail: `connection: ${message}` }))
        )
      )

    const checkUrl = (url: string) =>
      Effect.mapError(destination.check(url), ({ message }) => new UsageError({ message }))

    const sealable = <A>(work: Effect.Effect<A, VaultError, Vault>) =>
      Effect.mapError(Effect.provideService(work, Vault, vault), ({ message }) => new UsageError({ message }))
    const seal = (id: WebhookId, secrets: Signature.Secrets) => sealable(Signature.seal(id, secrets))
    const unseal = (row: Webhook) => sealable(Signature.unseal(row.id, row.secret))

    /** Returns the cursor of a reader that is told only what changes from now on. */
    const cursorOfNow = Effect.fnUntraced(function* (connectionId: ConnectionId | null) {
      const { next } = yield* feedStore.changed(end)
      return Cursor.ofChange(yield* feedStore.epoch, connectionId ?? undefined, { transaction: next, row: null })
    })

    return handlers.handleAll({
      list: () =>
        Effect.map(webhooks.webhooks, (all) => ({
          webhooks: all.map((one) => Documents.webhook(one.webhook, one))
        })).pipe(asProblem),

      create: Effect.fnUntraced(function* ({ payload }) {
        const { url } = yield* checkUrl(payload.url)
        const secret = yield* secretOf(payload.secret)
        const ref = payload.connection ?? null
        const connectionId = ref === null ? null : yield* connectionOf(ref)
        const cursor = payload.from === "beginning" ? null : yield* cursorOfNow(connectionId)
        const id = WebhookId.make(yield* random.uuidV4())
        const row = yield* webhooks.create(
          {
            id,
            name: payload.name ?? url.hostname,
            url: url.href,
            connectionId,
            changes: kindsOf(payload.changes ?? null),
            secret: yield* seal(id, { current: secret, previous: null }),
            cursor
          },
          maxWebhooks
        )
        if (Option.isNone(row)) {
          return yield* new ConflictProblem({
            detail: `there are ${maxWebhooks} webhooks, the most there can be: remove one first`
          })
        }
        return { ...Documents.webhook(row.value, { pending: 0, dead: 0 }), secret: Redacted.value(secret) }
      }, asProblem),

      get: ({ params }) => asProblem(document(params.webhook)),

      change: Effect.fnUntraced(function* ({ params, payload }) {
        const { changes, name, state, url } = payload
        const { id } = yield* find(params.webhook)
        const checked = url === undefined ? undefined : yield* checkUrl(url)
        const row = yield* webhooks.update(id, {
          name,
          url: checked?.url.href,
          changes: changes === undefined ? undefined : kindsOf(changes),
          state
        })
        return Option.isNone(row) ? yield* absent(id) : yield* document(id)
      }, asProblem),

      remove: Effect.fnUntraced(function* ({ params }) {
        if (!(yield* webhooks.remove(WebhookId.make(params.webhook)))) return yield* absent(params.webhook)
      }, asProblem),

      rotate: Effect.fnUntraced(function* ({ params, payload }) {
        const row = yield* find(params.webhook)
        const secret = yield* secretOf(payload?.secret)
        const { current } = yield* unseal(row)
        const until = DateTime.addDuration(yield* DateTime.now, overlap)
        const sealed = yield* seal(row.id, { current: secret, previous: { secret: current, until } })
        if (!(yield* webhooks.replaceSecret(row.id, row.secret, sealed))) {
          return yield* new ConflictProblem({ detail: "the secret was changed at the same time: try again" })
        }
        return { ...(yield* document(row.id)), secret: Redacted.value(secret) }
      }, asProblem),

      ping: Effect.fnUntraced(function* ({ params }) {
        const row = yield* find(params.webhook)
        const secrets = yield* unseal(row)
        const message = yield* random.uuidV7()
        const body = yield* Effect.orDie(
          encodePing({ type: "webhook.ping", timestamp: yield* DateTime.now, data: { webhook: row.id } })
        )
        const headers = yield* Signature.headers(secrets, message, body)
        const from = yield* Clock.currentTimeMillis
        const answer = yield* Effect.result(sender.post({ url: row.url, headers, body }))
        const durationMs = (yield* Clock.currentTimeMillis) - from
        if (Result.isFailure(answer)) {
          return { delivered: false, message, status: null, error: answer.failure.message, durationMs }
        }
        const { status } = answer.success
        const delivered = Delivery.isTaken(answer.success)
        return { delivered, message, status, error: delivered ? null : `it answered ${status}`, durationMs }
      }, asProblem),

      messages: Effect.fnUntraced(function* ({ params, query }) {
        const { after, limit, state } = query
        const { id } = yield* find(params.webhook)
        const page = yield* webhooks.messages(id, {
          state,
          limit: limit + 1,
          after: after === undefined ? undefined : MessageId.make(after)
        })
        const messages = page.slice(0, limit)
        return {
          messages: messages.map(Documents.message),
          next: page.length > limit ? (messages.at(-1)?.id ?? null) : null
        }
      }, asProblem),

      redeliver: Effect.fnUntraced(function* ({ params }) {
        const { id } = yield* find(params.webhook)
        const messageId = MessageId.make(params.message)
        const ofThis = Effect.map(
          webhooks.message(messageId),
          Option.filter(({ webhookId }) => webhookId === id)
        )
        if ((yield* webhooks.redeliver(id, messageId)) === 0) {
          const there = yield* ofThis
          if (Option.isSome(there)) {
            return yield* new ConflictProblem({
              detail: `the message is ${there.value.state}: only a dead one can be delivered again`
            })
          }
        }
        const message = yield* ofThis
        if (Option.isSome(message)) return Documents.message(message.value)
        return yield* new NotFoundProblem({
          what: "message",
          detail: `the webhook has no message ${JSON.stringify(messageId)}; see the webhook's messages`
        })
      }, asProblem),

      redeliverAll: Effect.fnUntraced(function* ({ params }) {
        const { id } = yield* find(params.webhook)
        return { redelivered: yield* webhooks.redeliver(id, undefined) }
      }, asProblem)
    })
  })
).pipe(Layer.provide(SecureRandom.layerWebCrypto))
