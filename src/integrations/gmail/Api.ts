/** The few methods of the Gmail API that are used, each one request through `call`, each answer decoded. */
import { gmail, type gmail_v1 } from "googleapis/build/src/apis/gmail/index.js"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { AccessToken } from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import type { Network } from "../../contract/Network.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import { classify, failureOf, isInvalidArgument, noSuchMessage, unreadable } from "./Errors.ts"
import * as RawAnswer from "./RawAnswer.ts"
import { chatLabel } from "./Config.ts"
import * as Requests from "./Requests.ts"
import * as Transport from "./Transport.ts"

/**
 * Units of Gmail's quota by method (https://developers.google.com/workspace/gmail/api/reference/quota). Projects that
 * used the API between 2025-11 and 2026-04 keep the earlier weights for at least 60 days: they set `quota.weights`.
 */
export const units = {
  "messages.get": 20,
  "messages.list": 5,
  "history.list": 2,
  "labels.list": 1,
  "labels.get": 1,
  getProfile: 1
} as const

/** The most that one page may hold, by the documentation of `messages.list` and `history.list`. */
export const pageSize = 500

/** Decimal digits, kept as text: a uint64 is beyond what a number holds, and emulators write longer ones. */
const HistoryId = Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,30}$/)))

/** True if the text has the form of Gmail's message ids: a number of 64 bits in hexadecimal digits. */
const isMessageId = (text: string): boolean => /^[0-9a-f]{1,16}$/i.test(text)

const Profile = Schema.Struct({
  emailAddress: Schema.String,
  historyId: HistoryId,
  messagesTotal: Schema.optionalKey(Schema.Finite)
})

const Listed = Schema.Struct({ id: Schema.NonEmptyString })

const MessageList = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Listed)),
  nextPageToken: Schema.optionalKey(Schema.String),
  resultSizeEstimate: Schema.optionalKey(Schema.Finite)
})

const Changed = Schema.Struct({
  id: Schema.NonEmptyString,
  labelIds: Schema.optionalKey(Schema.Array(Schema.String))
})

const WithMessage = Schema.Struct({ message: Changed })
const WithLabels = Schema.Struct({ message: Changed, labelIds: Schema.optionalKey(Schema.Array(Schema.String)) })

/** A record of a mailbox's history. Several messages may have changed in it. */
export const HistoryRecord = Schema.Struct({
  id: HistoryId,
  messagesAdded: Schema.optionalKey(Schema.Array(WithMessage)),
  messagesDeleted: Schema.optionalKey(Schema.Array(WithMessage)),
  labelsAdded: Schema.optionalKey(Schema.Array(WithLabels)),
  labelsRemoved: Schema.optionalKey(Schema.Array(WithLabels))
})
export type HistoryRecord = typeof HistoryRecord.Type

const HistoryList = Schema.Struct({
  history: Schema.optionalKey(Schema.Array(HistoryRecord)),
  historyId: HistoryId,
  nextPageToken: Schema.optionalKey(Schema.String)
})

const Message = Schema.Struct({
  id: Schema.NonEmptyString,
  threadId: Schema.optionalKey(Schema.String),
  labelIds: Schema.optionalKey(Schema.Array(Schema.String)),
  snippet: Schema.optionalKey(Schema.String),
  historyId: Schema.optionalKey(HistoryId),
  internalDate: Schema.optionalKey(Schema.String),
  sizeEstimate: Schema.optionalKey(Schema.Finite),
  raw: Schema.optionalKey(Schema.String)
})
export type Message = typeof Message.Type

/** A message with its parts instead of its bytes. */
const FullMessage = Schema.Struct({ ...Message.fields, payload: Schema.Record(Schema.String, Schema.Json) })
export type FullMessage = typeof FullMessage.Type

const Label = Schema.Struct({ messagesTotal: Schema.optionalKey(Schema.Finite) })

const LabelList = Schema.Struct({ labels: Schema.optionalKey(Schema.Array(Schema.Struct({ id: Schema.String }))) })

const UserInfo = Schema.Struct({ email: Schema.NonEmptyString })

/** The filter of a listing. */
export interface Filter {
  readonly query?: string | undefined
  readonly labelIds?: ReadonlyArray<string> | undefined
  readonly includeSpamTrash?: boolean | undefined
  readonly includeChats?: boolean | undefined
}

/** The filter's query, without chats unless they are asked for. Without a query see Chats.ts. */
const queryOf = ({ includeChats, query }: Filter): string | undefined =>
  includeChats === true || query === undefined ? query : `(${query}) -label:chats`

export type Api = ReturnType<typeof make>

export const make = (options: {
  readonly rootUrl: string | undefined
  readonly auth: AccessToken
  readonly call: Call
  readonly network: Network
}) => {
  const { host } = new URL(options.rootUrl ?? "https://gmail.googleapis.com")
  const client = gmail({
    version: "v1",
    ...Transport.options(options.network),
    ...(options.rootUrl === undefined ? {} : { rootUrl: options.rootUrl })
  })
  const { auth, call } = options

  const requests = Requests.make({ auth, call, client, host })
  const request = <A, I>(
    method: keyof typeof units,
    what: string,
    schema: Schema.Codec<A, I>,
    send: Requests.Send<gmail_v1.Gmail>
  ) => requests.request(method, units[method], what, schema, send)

  const decodeMessage = Schema.decodeUnknownEffect(Message)
  const asMessage = (what: string) => (answer: unknown) =>
    Effect.mapError(decodeMessage(answer), () => unreadable(what))

  /**
   * Requests a message's bytes. A small answer is read completely here. Of a larger one only the first part is read,
   * and the response stays open until the scope ends. The deadline is that of `call`: the client's own would also end
   * the response.
   */
  const openMessage = (id: string, token: Redacted.Redacted, scope: Scope.Scope) =>
    Effect.suspend(() => {
      const what = `message ${id}`
      const abort = new AbortController()
      const close = Effect.sync(() => abort.abort())
      const begin = Effect.tryPromise({
        try: async () => {
          const response = await client.users.messages.get(
            { userId: "me", id, format: "raw" },
            {
              signal: abort.signal,
              retry: false,
              headers: { Authorization: `Bearer ${Redacted.value(token)}` },
              responseType: "stream",
              // The client would read the body of a refusal without a bound, and not as JSON.
              validateStatus: () => true
            }
          )
          return RawAnswer.begin(response)
        },
        catch: (error) => failureOf(error, host)
      }).pipe(
        Effect.flatMap((begun) => (begun._tag === "Refused" ? Effect.fail(begun.failure) : Effect.succeed(begun))),
        Effect.catch((failure) =>
          isInvalidArgument(failure) && !isMessageId(id)
            ? Effect.fail(noSuchMessage(id))
            : Effect.flatMap(DateTime.now, (now) => Effect.fail(classify(what, failure, now, [token])))
        )
      )
      return Effect.uninterruptibleMask((restore) =>
        restore(begin).pipe(
          Effect.onError(() => close),
          Effect.tap((begun) => (begun._tag === "Whole" ? Effect.void : Scope.addFinalizer(scope, close)))
        )
      ).pipe(
        Effect.flatMap((begun): Effect.Effect<RawMessage, IntegrationError> =>
          begun._tag === "Whole"
            ? Effect.map(asMessage(what)(begun.answer), (message) => ({ _tag: "Whole", message }))
            : Effect.map(RawAnswer.streamed(id, begun), ({ rest, ...streamed }): RawMessage => ({
                _tag: "Streamed",
                ...streamed,
                rest: Effect.flatMap(rest, asMessage(what))
              }))
        )
      )
    })

  return {
    /** A server that has no such method answers 404: `Gone`. */
    profile: request("getProfile", "profile of the mailbox", Profile, (gmail, how) =>
      gmail.users.getProfile({ userId: "me" }, how)
    ),

    /** Newest first. */
    messages: (filter: Filter, page: { readonly pageToken?: string | undefined; readonly maxResults?: number }) =>
      request("messages.list", "list of messages", MessageList, (gmail, how) => {
        const query = queryOf(filter)
        return gmail.users.messages.list(
          {
            userId: "me",
            maxResults: page.maxResults ?? pageSize,
            ...(page.pageToken === undefined ? {} : { pageToken: page.pageToken }),
            ...(query === undefined ? {} : { q: query }),
            ...(filter.labelIds === undefined ? {} : { labelIds: [...filter.labelIds] }),
            ...(filter.includeSpamTrash === true ? { includeSpamTrash: true } : {})
          },
          how
        )
      }),

    /** A message's fields, without its bytes. */
    message: (id: string) =>
      request("messages.get", `message ${id}`, Message, (gmail, how) =>
        gmail.users.messages.get({ userId: "me", id, format: "minimal" }, how)
      ),

    /** A message with its parts: for a chat, which has no bytes. */
    fullMessage: (id: string) =>
      request("messages.get", `chat ${id}`, FullMessage, (gmail, how) =>
        gmail.users.messages.get({ userId: "me", id, format: "full" }, how)
      ),

    /** How many chats there are; 0 on a server that does not know. */
    chats: Effect.catch(
      request("labels.get", "label of chats", Label, (gmail, how) =>
        gmail.users.labels.get({ userId: "me", id: chatLabel }, how)
      ),
      (error) =>
        error.reason._tag === "Gone" || error.reason._tag === "Malformed" ? Effect.succeed({}) : Effect.fail(error)
    ).pipe(Effect.map(({ messagesTotal = 0 }: typeof Label.Type) => messagesTotal)),

    /** A message with its bytes. */
    rawMessage: (id: string): Effect.Effect<RawMessage, IntegrationError, Scope.Scope> =>
      Effect.flatMap(Effect.scope, (scope) =>
        requests.authorized("messages.get", units["messages.get"], (token) => openMessage(id, token, scope))
      ),

    /** Lists the changes after `startHistoryId`, oldest first. 404 (`Gone`) means that the id has expired. */
    history: (
      startHistoryId: string,
      page: { readonly pageToken?: string | undefined; readonly maxResults?: number }
    ) =>
      request("history.list", "history of the mailbox", HistoryList, (gmail, how) =>
        gmail.users.history.list(
          {
            userId: "me",
            startHistoryId,
            maxResults: page.maxResults ?? pageSize,
            ...(page.pageToken === undefined ? {} : { pageToken: page.pageToken })
          },
          how
        )
      ),

    /** Ids of all labels, in a fixed order. */
    labels: Effect.map(
      request("labels.list", "list of labels", LabelList, (gmail, how) =>
        gmail.users.labels.list({ userId: "me" }, how)
      ),
      (list) => (list.labels ?? []).map((label) => label.id).sort()
    ),

    /** The address that belongs to the token, from Google's OAuth service; for servers without `getProfile`. */
    userInfo: Effect.flatMap(auth.token, (token) =>
      call(
        "oauth2.userinfo",
        0,
        HttpClientRequest.get(new URL("/oauth2/v2/userinfo", options.rootUrl ?? "https://www.googleapis.com")).pipe(
          HttpClientRequest.bearerToken(token),
          HttpClient.execute,
          Effect.flatMap((response) => Effect.map(response.json, (json) => ({ status: response.status, json }))),
          Effect.timeout(Requests.timeout),
          Effect.provide(FetchHttpClient.layer),
          Effect.provideService(FetchHttpClient.Fetch, options.network.fetch),
          Effect.mapError(() => unreadable("address of the account")),
          Effect.flatMap(({ status, json }) =>
            status < 200 || status > 299
              ? Effect.flatMap(DateTime.now, (now) =>
                  Effect.fail(classify("address of the account", { status, body: json }, now, [token]))
                )
              : Effect.mapError(Schema.decodeUnknownEffect(UserInfo)(json), () => unreadable("address of the account"))
          )
        )
      )
    )
  }
}

/** A message with its bytes: a small one as a whole, a larger one as they arrive. */
export type RawMessage =
  | { readonly _tag: "Whole"; readonly message: Message }
  | {
      readonly _tag: "Streamed"
      readonly body: Stream.Stream<Uint8Array, IntegrationError>
      /** Gmail's estimate of the message's bytes, where it stands before them. */
      readonly estimate: number | undefined
      /** The other fields, once the body was read to its end. */
      readonly rest: Effect.Effect<Message, IntegrationError>
    }
