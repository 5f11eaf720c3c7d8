/** The operations on webhooks, behind the HTTP API. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SecureRandom from "effect/crypto/SecureRandom"
import { Conflict, type ConnectionRef, NotFound } from "../Control.ts"
import * as Cursor from "../feed/Cursor.ts"
import { UsageError } from "../Engine.ts"
import type { ChangeKind } from "../model/Change.ts"
import { ConnectionId } from "../model/Connection.ts"
import { Store, type StoreError } from "../Store.ts"
import { Vault, type VaultError } from "../secrets/Vault.ts"
import { MessageId, type MessageState, type Webhook, WebhookId, WebhookStore } from "./WebhookStore.ts"
import * as Delivery from "./Delivery.ts"
import { Destination } from "./Destination.ts"
import * as Documents from "./Documents.ts"
import * as Signature from "./Signature.ts"
import { Sender } from "./Sender.ts"

/** Each webhook is a fiber, and up to one request in flight, of the delivering process. */
const atMost = 100

/** How long the previous secret also signs after a rotation. */
const overlap = Duration.hours(24)

/** A position after every transaction: nothing has changed after it yet. */
const end = 2n ** 63n - 1n

/** A webhook with its secret, which is shown only once. */
export interface WithSecret {
  readonly webhook: Documents.Webhook
  readonly secret: Redacted.Redacted
}

type Asked<A, E = never> = Effect.Effect<A, E | NotFound | StoreError>

export class Webhooks extends Context.Service<
  Webhooks,
  {
    /** Oldest first. */
    readonly webhooks: Effect.Effect<ReadonlyArray<Documents.Webhook>, StoreError>
    readonly webhook: (id: string) => Asked<Documents.Webhook>
    /** Begins with changes from now on, or with everything that is stored. There can be 100 webhooks. */
    readonly create: (input: {
      readonly url: string
      /** Default: the host of the URL. */
      readonly name?: string | undefined
      readonly connection?: ConnectionRef | null | undefined
      /** Default, and for null or an empty list: all kinds. */
      readonly changes?: ReadonlyArray<ChangeKind> | null | undefined
      /** Default: a new one. */
      readonly secret?: Redacted.Redacted | undefined
      readonly from: "now" | "beginning"
    }) => Asked<WithSecret, UsageError | Conflict>
    /** `state: "active"` resumes a paused or disabled webhook where it was, and sends pending messages now. */
    readonly change: (
      id: string,
      input: {
        readonly url?: string | undefined
        readonly name?: string | undefined
        readonly changes?: ReadonlyArray<ChangeKind> | null | undefined
        readonly state?: "active" | "paused" | undefined
      }
    ) => Asked<Documents.Webhook, UsageError>
    /** Removes the webhook and its messages. */
    readonly remove: (id: string) => Asked<void>
    /** Makes a new secret. The previous one also signs for 24 hours. */
    readonly rotate: (id: string, secret: Redacted.Redacted | undefined) => Asked<WithSecret, UsageError | Conflict>
    /** Sends a signed test message now, whatever the webhook's state. */
    readonly ping: (id: string) => Asked<Documents.Pinged, UsageError>
    /** Newest first. `next` is the cursor of the next page, or null. */
    readonly messages: (
      id: string,
      query: {
        readonly state?: MessageState | undefined
        readonly limit: number
        readonly after?: string | undefined
      }
    ) => Asked<{ readonly messages: ReadonlyArray<Documents.Message>; readonly next: string | null }>
    /** Sends a dead letter again, outside the order of the feed. */
    readonly redeliver: (id: string, message: string) => Asked<Documents.Message, Conflict>
    /** Sends all dead letters again. Returns their number. */
    readonly redeliverAll: (id: string) => Asked<number>
  }
>()("idem/engine/webhooks/Webhooks") {}

const encodePing = Schema.encodeEffect(Schema.fromJsonString(Documents.Ping))

const make = Effect.gen(function* () {
  const store = yield* Store
  const webhooks = yield* WebhookStore
  const destination = yield* Destination
  const sender = yield* Sender
  const vault = yield* Vault
  const random = yield* SecureRandom.SecureRandom

  const absent = (id: string) =>
    new NotFound({ what: "webhook", message: `there is no webhook ${JSON.stringify(id)}; see: GET /webhooks` })

  const find = Effect.fnUntraced(function* (id: string) {
    const row = yield* webhooks.webhook(WebhookId.make(id))
    return Option.isNone(row) ? yield* absent(id) : row.value
  })
  /** The webhook's document, with the counts of its messages. */
  const document = Effect.fnUntraced(function* (id: string) {
    const found = (yield* webhooks.webhooks).find(({ webhook }) => webhook.id === id)
    return found === undefined ? yield* absent(id) : Documents.webhook(found.webhook, found)
  })

  const checkUrl = (url: string) =>
    Effect.mapError(destination.check(url), ({ message }) => new UsageError({ message: message }))

  const connectionOf = Effect.fnUntraced(function* (ref: ConnectionRef | null | undefined) {
    if (ref === null || ref === undefined) return null
    const byId = yield* store.connection(ConnectionId.make(ref))
    const found = Option.isSome(byId) ? byId : yield* store.connectionByName(ref)
    if (Option.isSome(found)) return found.value.id
    return yield* new NotFound({
      what: "connection",
      message: `connection: there is no connection ${JSON.stringify(ref)}; see: GET /connections`
    })
  })

  const kindsOf = (changes: ReadonlyArray<ChangeKind> | null) =>
    changes === null || changes.length === 0 ? null : [...new Set(changes)]

  const secretOf = (given: Redacted.Redacted | undefined) =>
    given === undefined ? Signature.generate : Signature.check(given)

  const sealable = <A>(work: Effect.Effect<A, VaultError, Vault>) =>
    Effect.mapError(Effect.provideService(work, Vault, vault), ({ message }) => new UsageError({ message }))
  const seal = (id: WebhookId, secrets: Signature.Secrets) => sealable(Signature.seal(id, secrets))
  const unseal = (row: Webhook) => sealable(Signature.unseal(row.id, row.secret))

  return Webhooks.of({
    webhooks: Effect.map(webhooks.webhooks, (all) => all.map((one) => Documents.webhook(one.webhook, one))),

    webhook: document,

    create: Effect.fn("Webhooks.create")(function* (input) {
      const { url } = yield* checkUrl(input.url)
      const secret = yield* secretOf(input.secret)
      const connectionId = yield* connectionOf(input.connection)
      if ((yield* webhooks.webhooks).length >= atMost) {
        return yield* new Conflict({ message: `there are ${atMost} webhooks, as many as may be: remove one first` })
      }
      const place = { transaction: (yield* store.changed(end)).next, row: null }
      const cursor =
        input.from === "beginning" ? null : Cursor.ofChange(yield* store.epoch, connectionId ?? undefined, place)
      const id = WebhookId.make(yield* random.uuidV4())
      const row = yield* webhooks.create({
        id,
        name: input.name ?? url.hostname,
        url: url.href,
        connectionId,
        changes: kindsOf(input.changes ?? null),
        secret: yield* seal(id, { current: secret, previous: null }),
        cursor
      })
      return { webhook: Documents.webhook(row, { pending: 0, dead: 0 }), secret }
    }),

    change: Effect.fn("Webhooks.change")(function* (id, { changes, name, state, url }) {
      yield* find(id)
      const checked = url === undefined ? undefined : yield* checkUrl(url)
      const row = yield* webhooks.change(WebhookId.make(id), {
        name,
        url: checked?.url.href,
        changes: changes === undefined ? undefined : kindsOf(changes),
        state
      })
      if (Option.isNone(row)) return yield* absent(id)
      return yield* document(row.value.id)
    }),

    remove: Effect.fn("Webhooks.remove")(function* (id) {
      if (!(yield* webhooks.remove(WebhookId.make(id)))) return yield* absent(id)
    }),

    rotate: Effect.fn("Webhooks.rotate")(function* (id, given) {
      const row = yield* find(id)
      const secret = yield* secretOf(given)
      const { current } = yield* unseal(row)
      const until = DateTime.addDuration(yield* DateTime.now, overlap)
      const sealed = yield* seal(row.id, { current: secret, previous: { secret: current, until } })
      if (!(yield* webhooks.replaceSecret(row.id, row.secret, sealed))) {
        return yield* new Conflict({ message: "the secret was changed at the same time: look, and try again" })
      }
      return { webhook: yield* document(id), secret }
    }),

    ping: Effect.fn("Webhooks.ping")(function* (id) {
      const row = yield* find(id)
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
    }),

    messages: Effect.fn("Webhooks.messages")(function* (id, { after, limit, state }) {
      const { id: webhookId } = yield* find(id)
      const page = yield* webhooks.messages(webhookId, {
        state,
        limit: limit + 1,
        after: after === undefined ? undefined : MessageId.make(after)
      })
      const messages = page.slice(0, limit)
      return {
        messages: messages.map(Documents.message),
        next: page.length > limit ? (messages.at(-1)?.id ?? null) : null
      }
    }),

    redeliver: Effect.fn("Webhooks.redeliver")(function* (id, messageId) {
      const row = yield* find(id)
      const ofThis = Effect.map(
        webhooks.message(MessageId.make(messageId)),
        Option.filter(({ webhookId }) => webhookId === row.id)
      )
      if ((yield* webhooks.redeliver(row.id, MessageId.make(messageId))) === 0) {
        const there = yield* ofThis
        if (Option.isSome(there)) {
          return yield* new Conflict({
            message: `the message is ${there.value.state}: only a dead one can be delivered again`
          })
        }
      }
      const message = yield* ofThis
      if (Option.isSome(message)) return Documents.message(message.value)
      return yield* new NotFound({
        what: "message",
        message: `the webhook has no message ${JSON.stringify(messageId)}; see: GET /webhooks/${id}/messages`
      })
    }),

    redeliverAll: Effect.fn("Webhooks.redeliverAll")(function* (id) {
      const row = yield* find(id)
      return yield* webhooks.redeliver(row.id, undefined)
    })
  })
}).pipe(Effect.provide(SecureRandom.layerWebCrypto))

export const layer: Layer.Layer<Webhooks, never, Store | WebhookStore | Destination | Sender | Vault> = Layer.effect(
  Webhooks,
  make
)
