/**
 * Parses the requests of Gmail's API and answers them from a mailbox, with the shapes of Google's discovery document
 * and the errors of its guides.
 */
import { type Mailbox, Refusal } from "./Mailbox.ts"
import type { StoredMessage } from "./Messages.ts"

export type Method =
  | "getProfile"
  | "messages.list"
  | "messages.get"
  | "history.list"
  | "labels.list"
  | "labels.get"
  | "oauth2.token"
  | "oauth2.userinfo"
  | "users.list"
  | "users.get"

/** A request, as the server saw it. */
export interface Seen {
  readonly method: Method
  readonly id: string | undefined
  readonly params: URLSearchParams
  readonly token: string | undefined
}

export const units: Record<Method, number> = {
  getProfile: 1,
  "messages.list": 5,
  "messages.get": 20,
  "history.list": 2,
  "labels.list": 1,
  "labels.get": 1,
  "oauth2.token": 0,
  "oauth2.userinfo": 0,
  "users.list": 0,
  "users.get": 0
}

/** Returns the method of a request, with the id in its path; undefined for an unknown request. */
const routeOf = (
  verb: string,
  path: string
): { readonly method: Method; readonly id: string | undefined } | undefined => {
  if (verb === "POST") return path === "/oauth2/token" ? { method: "oauth2.token", id: undefined } : undefined
  const [, users, user] = /^\/admin\/directory\/v1\/(users)(?:\/([^/]+))?$/.exec(path) ?? []
  if (users !== undefined) {
    return user === undefined
      ? { method: "users.list", id: undefined }
      : { method: "users.get", id: decodeURIComponent(user) }
  }
  if (path === "/oauth2/v2/userinfo") return { method: "oauth2.userinfo", id: undefined }
  const [, resource, id] = /^\/gmail\/v1\/users\/me\/(profile|labels|history|messages)(?:\/([^/]+))?$/.exec(path) ?? []
  if (resource === undefined) return undefined
  if (resource === "messages")
    return { method: id === undefined ? "messages.list" : "messages.get", id: id && decodeURIComponent(id) }
  if (resource === "labels") return { method: id === undefined ? "labels.list" : "labels.get", id }
  if (id !== undefined) return undefined
  return { method: resource === "profile" ? "getProfile" : "history.list", id }
}

/** Parses a request; undefined for a request that the stand-in does not support. */
export const seenOf = (verb: string, url: URL, authorization: string | null | undefined): Seen | undefined => {
  const route = routeOf(verb, url.pathname)
  const token = /^Bearer (.+)$/.exec(authorization ?? "")?.[1]
  return route === undefined ? undefined : { ...route, params: url.searchParams, token }
}

const messageResource = (message: StoredMessage, format: string) => {
  const raw = message.raw()
  const base = {
    id: message.id,
    threadId: message.threadId,
    labelIds: [...message.labelIds],
    snippet: `A message of ${raw.length} bytes`,
    historyId: message.historyId.toString(),
    internalDate: String(message.internalDate),
    sizeEstimate: raw.length
  }
  if (format === "minimal") return base
  // Chats have an empty `raw`, and their text only with `format=full` (GAM-team/got-your-back#84).
  const isChat = message.labelIds.has("CHAT")
  if (format === "raw" && isChat) return { ...base, raw: "" }
  if (format === "full" && isChat) {
    const body = { size: raw.length, data: Buffer.from(raw).toString("base64url") }
    return {
      ...base,
      payload: {
        mimeType: "text/html",
        filename: "",
        headers: [{ name: "From", value: "Ann <ann@example.com>" }],
        body
      }
    }
  }
  if (format === "raw") return { ...base, raw: Buffer.from(raw).toString("base64url") }
  throw new Refusal(400, "invalidArgument", `The stand-in has no format ${format}`)
}

/**
 * Returns an error in the form of Google's APIs
 * (https://developers.google.com/workspace/gmail/api/guides/handle-errors).
 */
export const errorBody = (code: number, reason: string, message: string, status = "ERROR"): string =>
  JSON.stringify({ error: { code, message, errors: [{ message, domain: "global", reason }], status } })

/** The requested account, and the test's settings for it. */
interface Account {
  readonly email: string
  readonly mailbox: Mailbox
  /** True for a server without `getProfile`, like emulators. */
  readonly noProfile: boolean
  /** Ids that the next page of a listing shows once more. */
  readonly repeats: Array<string>
}

/** Returns the response to a request that does not concern tokens or users. Throws `Refusal`. */
export const answer = ({ id, method, params }: Seen, { email, mailbox, noProfile, repeats }: Account): unknown => {
  const maxResults = Math.min(mailbox.pageLimit, Number(params.get("maxResults") ?? "100"))
  const pageToken = params.get("pageToken") ?? undefined
  switch (method) {
    case "oauth2.userinfo":
      return { email }
    case "getProfile":
      if (noProfile) throw new Refusal(404, "notFound", "Not Found")
      return {
        emailAddress: email,
        messagesTotal: mailbox.size,
        threadsTotal: mailbox.size,
        historyId: mailbox.historyId
      }
    case "labels.list":
      return {
        labels: Array.from(mailbox.labels, ([id, name]) => ({ id, name, type: id === name ? "system" : "user" }))
      }
    case "labels.get": {
      if (id === undefined || !mailbox.labels.has(id))
        throw new Refusal(404, "notFound", "Requested entity was not found.")
      return {
        id,
        name: mailbox.labels.get(id),
        messagesTotal: mailbox.all.filter(({ labelIds }) => labelIds.has(id)).length
      }
    }
    case "messages.list": {
      const { found, next, estimate } = mailbox.list({
        labelIds: params.getAll("labelIds"),
        query: params.get("q") ?? undefined,
        includeSpamTrash: params.get("includeSpamTrash") === "true",
        maxResults,
        pageToken
      })
      const repeated = repeats.splice(0).flatMap((repeat) => mailbox.get(repeat) ?? [])
      const messages = [...found, ...repeated].map(({ id, threadId }) => ({ id, threadId }))
      // Google omits empty fields.
      return {
        ...(messages.length > 0 ? { messages } : {}),
        ...(next === undefined ? {} : { nextPageToken: next }),
        resultSizeEstimate: estimate
      }
    }
    case "messages.get": {
      if (id === undefined || !/^[A-Za-z0-9_-]{1,64}$/.test(id)) {
        throw new Refusal(400, "invalidArgument", "Invalid id value")
      }
      const message = mailbox.unready.has(id) ? undefined : mailbox.get(id)
      if (message === undefined) throw new Refusal(404, "notFound", "Requested entity was not found.")
      return messageResource(message, params.get("format") ?? "full")
    }
    case "history.list": {
      const start = params.get("startHistoryId")
      if (start === null) throw new Refusal(400, "invalidArgument", "Missing startHistoryId")
      const { records, next } = mailbox.history({
        start: BigInt(start),
        labelId: params.get("labelId") ?? undefined,
        maxResults,
        pageToken
      })
      return {
        ...(records.length > 0 ? { history: records } : {}),
        ...(next === undefined ? {} : { nextPageToken: next }),
        historyId: mailbox.historyId
      }
    }
    case "oauth2.token":
    case "users.list":
    case "users.get":
      throw new Error("answered before")
  }
}
