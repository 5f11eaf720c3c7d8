/** Webhooks and their messages in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import {
  failedTooLong,
  resetsFailures,
  type Message,
  type MessageId,
  type Webhook,
  type DeliveryState
} from "../../engine/model/Webhook.ts"
import { type MessageChange, WebhookStore } from "../../engine/store/WebhookStore.ts"
import * as Storable from "../Storable.ts"
import { type MessageEntry, type Millis, type State, utc, type WebhookEntry } from "./State.ts"

const isLive = ({ message, redelivered }: MessageEntry) => message.state === "pending" && !redelivered
const isSame = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, index) => byte === b[index])
const isSameFilter = (a: Webhook["changes"], b: Webhook["changes"]) => a?.join() === b?.join()
const isOlder = (message: Message, now: Millis, than: Duration.Duration) =>
  message.attemptedAt !== null && message.attemptedAt.epochMilliseconds < now - Duration.toMillis(than)

interface Told {
  readonly connection: ConnectionId
  readonly content: { readonly externalId: string }
}

/** Applies `by` to each change of a connection in messages: keeps it, replaces it, or removes it. */
const replaceInMessages = (state: State, connectionId: ConnectionId, by: (change: Told) => Told | undefined): void => {
  for (const { messages } of state.webhooks.values()) {
    for (const entry of messages.filter(({ body }) => body.includes(connectionId))) {
      const body = JSON.parse(entry.body) as { data: { changes: ReadonlyArray<Told> } }
      const changes = body.data.changes.flatMap((change) =>
        change.connection === connectionId ? (by(change) ?? []) : [change]
      )
      entry.body = JSON.stringify({ ...body, data: { ...body.data, changes } })
      entry.message = { ...entry.message, changes: changes.length }
    }
  }
}

/** Removes the changes of a connection from messages. */
export const forgetConnection = (state: State, connectionId: ConnectionId): void =>
  replaceInMessages(state, connectionId, () => undefined)

/** Removes the content of these changes from messages. */
export const emptyContents = (state: State, connectionId: ConnectionId, externalIds: ReadonlySet<string>): void => {
  const nothing = { revision: null, hash: null, size: 0, title: null, occurredAt: null }
  replaceInMessages(state, connectionId, (change) =>
    externalIds.has(change.content.externalId) ? { ...change, content: { ...change.content, ...nothing } } : change
  )
}

/** Returns true if a purge or a disconnection has removed the content of the change. */
const isRemoved = (state: State, { connection, content }: MessageChange): boolean => {
  const contents = state.connections.get(connection)?.contents
  return contents === undefined || (content.hash !== null && contents.get(content.externalId)?.hash === null)
}

const make = (state: State): WebhookStore["Service"] => {
  const entries = state.webhooks
  const find = (messageId: MessageId): readonly [WebhookEntry, MessageEntry] | undefined => {
    for (const entry of entries.values()) {
      const found = entry.messages.find(({ message }) => message.id === messageId)
      if (found !== undefined) return [entry, found]
    }
    return undefined
  }

  /** Makes the message pending and due at this time, or not due at all. */
  const set = (entry: MessageEntry, dueAt: Millis | null, change: Partial<Message>): void => {
    entry.dueAt = dueAt
    entry.message = { ...entry.message, ...change, nextAttemptAt: dueAt === null ? null : utc(dueAt) }
  }

  const deliveryState = ({ messages, webhook }: WebhookEntry, now: Millis): DeliveryState => {
    const due = (entry: MessageEntry) => Math.max(0, (entry.dueAt ?? now) - now)
    const [next] = messages
      .filter(({ message }) => message.state === "pending")
      .toSorted((a, b) => due(a) - due(b) || Number(a.redelivered) - Number(b.redelivered))
    return {
      webhook,
      next: next === undefined ? null : { messageId: next.message.id, in: Duration.millis(due(next)) },
      isWaiting: messages.some(isLive)
    }
  }
  const active = () => Array.from(entries.values()).filter(({ webhook }) => webhook.state === "active")

  return {
    create: (given, most) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (entries.size >= most) return Option.none()
        const webhook: Webhook = {
          ...given,
          name: Storable.text(given.name),
          url: Storable.text(given.url),
          state: "active",
          reason: null,
          failingSince: null,
          createdAt: utc(now)
        }
        entries.set(webhook.id, { webhook, messages: [] })
        return Option.some(webhook)
      }),

    webhook: (webhookId) => Effect.sync(() => Option.fromUndefinedOr(entries.get(webhookId)?.webhook)),

    webhooks: Effect.sync(() =>
      Array.from(entries.values(), ({ messages, webhook }) => {
        const count = (state: Message["state"]) => messages.filter(({ message }) => message.state === state).length
        return { webhook, pending: count("pending"), dead: count("dead") }
      })
    ),

    update: (webhookId, change) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = entries.get(webhookId)
        if (entry === undefined) return Option.none()
        const { webhook } = entry
        const isReset = resetsFailures(webhook, change)
        entry.webhook = {
          ...webhook,
          name: change.name === undefined ? webhook.name : Storable.text(change.name),
          url: change.url === undefined ? webhook.url : Storable.text(change.url),
          changes: change.changes === undefined ? webhook.changes : change.changes,
          state: change.state ?? webhook.state,
          reason: change.state === undefined ? webhook.reason : null,
          failingSince: isReset ? null : webhook.failingSince
        }
        for (const one of isReset ? entry.messages : []) {
          if (one.dueAt !== null) set(one, Math.min(one.dueAt, now), { attempts: 0 })
        }
        return Option.some(entry.webhook)
      }),

    remove: (webhookId) => Effect.sync(() => entries.delete(webhookId)),

    replaceSecret: (webhookId, before, after) =>
      Effect.sync(() => {
        const entry = entries.get(webhookId)
        if (entry === undefined || !isSame(entry.webhook.secret, before)) return false
        entry.webhook = { ...entry.webhook, secret: after }
        return true
      }),

    deliveryStates: Effect.map(Clock.currentTimeMillis, (now) => active().map((entry) => deliveryState(entry, now))),
    deliveryState: (webhookId) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        Option.fromUndefinedOr(
          active()
            .filter(({ webhook }) => webhook.id === webhookId)
            .map((entry) => deliveryState(entry, now))[0]
        )
      ),

    enqueue: (seen, { message, to }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = entries.get(seen.id)
        if (entry?.webhook.state !== "active" || entry.messages.some(isLive)) return false
        if (entry.webhook.cursor !== seen.cursor || !isSameFilter(entry.webhook.changes, seen.changes)) return false
        if (message?.changes.some((change) => isRemoved(state, change)) === true) return false
        entry.webhook = { ...entry.webhook, cursor: to }
        if (message === null) return true
        entry.messages.push({
          message: {
            id: message.id,
            webhookId: seen.id,
            state: "pending",
            changes: message.changes.length,
            attempts: 0,
            nextAttemptAt: utc(now),
            status: null,
            error: null,
            answer: null,
            createdAt: utc(now),
            attemptedAt: null
          },
          body: message.body,
          claim: 0,
          redelivered: false,
          dueAt: now
        })
        return true
      }),

    claim: (messageId, lasting) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const [entry, one] = find(messageId) ?? []
        if (entry?.webhook.state !== "active" || one === undefined) return Option.none()
        if (one.dueAt === null || one.dueAt > now) return Option.none()
        one.claim += 1
        set(one, now + Duration.toMillis(lasting), {})
        return Option.some({ webhook: entry.webhook, message: one.message, claim: one.claim, body: one.body })
      }),

    recordAttempt: (claimed, result) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const [entry, one] = find(claimed.message.id) ?? []
        if (entry === undefined || one === undefined) return claimed.webhook.state
        if (one.claim !== claimed.claim || one.message.state !== "pending") return entry.webhook.state
        const attempted = { attempts: one.message.attempts + 1, attemptedAt: utc(now), status: result.status }
        if (result._tag === "Delivered") {
          set(one, null, { ...attempted, state: "delivered", error: null, answer: null })
          entry.webhook = { ...entry.webhook, failingSince: null }
          return entry.webhook.state
        }
        const { answer, disable, disableAfter, error, retryIn } = result
        set(one, retryIn === undefined ? null : now + Duration.toMillis(retryIn), {
          ...attempted,
          state: retryIn === undefined ? "dead" : "pending",
          error: Storable.text(error),
          answer: answer === null ? null : Storable.text(answer)
        })
        const since = entry.webhook.failingSince
        const isOver =
          disable !== undefined || (since !== null && since.epochMilliseconds < now - Duration.toMillis(disableAfter))
        entry.webhook = { ...entry.webhook, failingSince: since ?? utc(now) }
        if (isOver && entry.webhook.state === "active") {
          const reason = Storable.text(disable ?? failedTooLong)
          entry.webhook = { ...entry.webhook, state: "disabled", reason }
        }
        return entry.webhook.state
      }),

    releaseClaim: ({ claim, message }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const [, one] = find(message.id) ?? []
        if (one?.claim === claim && one.message.state === "pending") set(one, now, {})
      }),

    messages: (webhookId, { after, limit, state }) =>
      Effect.sync(() => {
        const all = entries.get(webhookId)?.messages ?? []
        const end =
          after === undefined
            ? all.length
            : Math.max(
                0,
                all.findIndex(({ message }) => message.id === after)
              )
        return all
          .slice(0, end)
          .toReversed()
          .map(({ message }) => message)
          .filter((message) => state === undefined || message.state === state)
          .slice(0, limit)
      }),

    message: (messageId) =>
      Effect.sync(() => Option.map(Option.fromUndefinedOr(find(messageId)), ([, one]) => one.message)),

    redeliver: (webhookId, messageId) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const dead = (entries.get(webhookId)?.messages ?? []).filter(
          ({ message }) => message.state === "dead" && (messageId === undefined || message.id === messageId)
        )
        for (const one of dead) {
          one.redelivered = true
          set(one, now, { state: "pending", attempts: 0 })
        }
        return dead.length
      }),

    prune: ({ dead, delivered }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        let removed = 0
        for (const entry of entries.values()) {
          const kept = entry.messages.filter(({ message }) => {
            if (message.state === "pending") return true
            return !isOlder(message, now, message.state === "dead" ? dead : delivered)
          })
          removed += entry.messages.length - kept.length
          entry.messages = kept
        }
        return removed
      })
  }
}

export const layer = (state: State): Layer.Layer<WebhookStore> => Layer.succeed(WebhookStore, make(state))
