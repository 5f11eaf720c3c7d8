/** The methods of the Gmail API that Idem uses. Each makes one request through `call`, and decodes the response. */
import { gmail } from "googleapis/build/src/apis/gmail/index.js"
import { oauth2 } from "googleapis/build/src/apis/oauth2/index.js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AccessToken } from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import type { Network } from "../../contract/Network.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import { chatLabel, type Filter } from "./Config.ts"
import * as Errors from "./Errors.ts"
import * as GoogleClient from "./GoogleClient.ts"
import * as RawMessage from "./RawMessage.ts"
import { FullMessage, HistoryList, Label, LabelList, Message, MessageList, Profile, UserInfo } from "./Resources.ts"
import * as Transport from "./Transport.ts"

/**
 * The units of Gmail's quota by method (https://developers.google.com/workspace/gmail/api/reference/quota). Projects
 * that used the API between 2025-11 and 2026-04 keep the earlier weights for at least 60 days: they can set
 * `quota.weights`.
 */
export const units = {
  "messages.get": 20,
  "messages.list": 5,
  "history.list": 2,
  "labels.list": 1,
  "labels.get": 1,
  getProfile: 1
} as const

/** The most items of one page, by the documentation of `messages.list` and `history.list`. */
export const pageSize = 500

/**
 * Returns the filter's query, without chats unless they are wanted. For a filter without a query see MessagePages.ts.
 */
const queryOf = ({ includeChats, query }: Filter): string | undefined =>
  includeChats === true || query === undefined ? query : `(${query}) -label:chats`

export type Api = ReturnType<typeof make>

export const make = (options: {
  readonly rootUrl: string | undefined
  readonly auth: AccessToken
  readonly call: Call
  readonly network: Network
}) => {
  const rootUrl = options.rootUrl ?? "https://gmail.googleapis.com"
  const { host } = new URL(rootUrl)
  const clientOptions = {
    ...Transport.options(options.network),
    ...(options.rootUrl === undefined ? {} : { rootUrl: options.rootUrl })
  }
  const { auth, call } = options

  const client = GoogleClient.make({
    auth,
    call,
    client: gmail({ version: "v1", ...clientOptions }),
    units,
    host,
    explain: Errors.ofUser
  })

  const raw = { client, get: Transport.get(options.network), rootUrl }

  /** The client of Google's OAuth service, which returns the address of the account. */
  const accounts = GoogleClient.make({
    auth,
    call,
    client: oauth2({ version: "v2", ...clientOptions }),
    units: { "oauth2.userinfo": 0 },
    host: options.rootUrl === undefined ? "www.googleapis.com" : host
  })

  return {
    profile: client.request("getProfile", "profile of the mailbox", Profile, (gmail, how) =>
      gmail.users.getProfile({ userId: "me" }, how)
    ),

    /** Lists messages, newest first. */
    messages: (filter: Filter, page: { readonly pageToken?: string | undefined; readonly maxResults?: number }) =>
      client.request("messages.list", "list of messages", MessageList, (gmail, how) => {
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

    /** Reads a message's fields, without its bytes. */
    message: (id: string) =>
      client.request("messages.get", `message ${id}`, Message, (gmail, how) =>
        gmail.users.messages.get({ userId: "me", id, format: "minimal" }, how)
      ),

    /** Reads a message with its parts: for a chat, which has no bytes. */
    fullMessage: (id: string) =>
      client.request("messages.get", `chat ${id}`, FullMessage, (gmail, how) =>
        gmail.users.messages.get({ userId: "me", id, format: "full" }, how)
      ),

    /** Reads the number of chats; 0 if the server does not know it. */
    chats: Effect.catch(
      client.request("labels.get", "label of chats", Label, (gmail, how) =>
        gmail.users.labels.get({ userId: "me", id: chatLabel }, how)
      ),
      (error) =>
        error.reason._tag === "Gone" || error.reason._tag === "Malformed" ? Effect.succeed({}) : Effect.fail(error)
    ).pipe(Effect.map(({ messagesTotal = 0 }: typeof Label.Type) => messagesTotal)),

    /** Reads a message with its bytes. */
    rawMessage: (id: string): Effect.Effect<RawMessage.RawMessage, IntegrationError, Scope.Scope> =>
      RawMessage.get(raw, id),

    /** Lists the changes after `startHistoryId`, oldest first. 404 (`Gone`) means that the id has expired. */
    history: (
      startHistoryId: string,
      page: { readonly pageToken?: string | undefined; readonly maxResults?: number }
    ) =>
      client.request("history.list", "history of the mailbox", HistoryList, (gmail, how) =>
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

    /** Reads the ids of all labels, in a fixed order. */
    labels: Effect.map(
      client.request("labels.list", "list of labels", LabelList, (gmail, how) =>
        gmail.users.labels.list({ userId: "me" }, how)
      ),
      (list) => (list.labels ?? []).map((label) => label.id).sort()
    ),

    /** Reads the address that the token belongs to. */
    userInfo: accounts.request("oauth2.userinfo", "address of the account", UserInfo, (oauth2, how) =>
      oauth2.userinfo.get({}, how)
    )
  }
}
