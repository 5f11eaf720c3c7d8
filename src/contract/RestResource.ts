/** A resource of a REST API: a list of items at a path, and the lists that belong to each of its items. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { Metadata } from "./Content.ts"
import { fail } from "./HttpRequest.ts"
import { type IntegrationError, Malformed, Reason } from "./IntegrationError.ts"

/** Paging by a cursor or link that the server gives. */
export type RestCursor<Answer> =
  | { readonly type: "link" }
  | {
      readonly type: "cursor"
      /** The parameter for the cursor. Not needed if `post` builds the request. */
      readonly param?: string | undefined
      /** Returns the cursor of the next page; null or undefined on the last page. */
      readonly next: (answer: Answer) => string | null | undefined
    }

/**
 * Paging by page number or offset. If an item is removed meanwhile, later items move forward and one may be on no page:
 * choose an order in which items keep their places. The list ends at a page without items, because a server may return
 * fewer than requested.
 */
export type RestCounted =
  | { readonly type: "page"; readonly param: string; readonly first?: number | undefined }
  | { readonly type: "offset"; readonly param: string }

/** The content of an item. */
export interface RestContent {
  readonly title?: string | undefined
  /** When the item was created or sent: a text, milliseconds since 1970, or a date. */
  readonly occurredAt?: string | number | Date | null | undefined
  readonly mediaType?: string | undefined
  readonly metadata?: Metadata | undefined
  /** The body, or its path. If that path redirects to another server, the credentials are not sent there. */
  readonly body: string | Uint8Array | { readonly path: string }
  /** The exact number of bytes of a body that has its own path. A body of another size is not stored. */
  readonly size?: number | undefined
}

/** A request: a `GET` of a path below the base URL, or a `POST` of JSON. */
export type RestRequest = string | { readonly path: string; readonly post: Schema.Json }

/** A list of children that has a path of its own. */
export interface RestPath {
  readonly path: string
  readonly query?: Readonly<Record<string, string>> | undefined
}

/** A resource of which each item of another one has a list. */
export interface RestChildren<Item> {
  /**
   * Returns an item's children, or the path of their list. Undefined if the item has no children: then no request is
   * made.
   */
  readonly of: (item: Item) => ReadonlyArray<unknown> | RestPath | undefined
  readonly resource: RestChild
}

interface Described<Item, Answer> {
  /** Parameters of each request for a page. */
  readonly query?: Readonly<Record<string, string>> | undefined
  /** Makes each page request a `POST` with this body. `place` is the value of `paging` for the next page. */
  readonly post?:
    | ((page: { readonly place: string | undefined; readonly since: DateTime.Utc | undefined }) => Schema.Json)
    | undefined
  /** The schema of the response to a page request. Default: an array of items. Required for cursors. */
  readonly answer?: Schema.Codec<Answer, unknown> | undefined
  /** Returns the items of a response. Default: the response itself. */
  readonly items?: ((answer: Answer) => ReadonlyArray<unknown>) | undefined
  readonly item: Schema.Codec<Item, unknown>
  /** The id of an item, unique in its resource. The id of a child is unique among the children of one item. */
  readonly id: (item: Item) => string | number
  /**
   * Returns the item in the response for one item. Default: the response itself. Undefined or null if there is no item.
   */
  readonly itemOf?: ((answer: Readonly<Record<string, unknown>>) => unknown) | undefined
  /** Returns a text that changes with the content. Default: a digest of the fields that the schema `item` names. */
  readonly revision?: ((item: Item) => string) | undefined
  /** Returns false to leave an item out. */
  readonly includes?: ((item: Item) => boolean) | undefined
  /** Returns true for a deleted item that the source still lists. */
  readonly isDeleted?: ((item: Item) => boolean) | undefined
  readonly kind: string
  readonly content: (item: Item) => RestContent
}

/**
 * Either the changes since a time are listed, or the whole list each time. Only the whole list, and not by page
 * numbers, shows that an item is absent and so deleted. Without `paging`, one response is the whole list.
 */
type Listed<Answer> =
  | {
      readonly paging?: RestCursor<Answer> | RestCounted | undefined
      /** Returns the parameters that list changes since this time; `"post"` if the request's body holds the time. */
      readonly since?: ((time: DateTime.Utc) => Readonly<Record<string, string>>) | "post" | undefined
      readonly absentIsDeleted?: false | undefined
      readonly isConditional?: false | undefined
    }
  | {
      readonly paging?: RestCursor<Answer> | undefined
      readonly since?: undefined
      readonly absentIsDeleted?: boolean | undefined
      /**
       * Requests each page only if it has changed since the last poll, by its `ETag`. Not for a resource with children:
       * their changes do not change the list.
       */
      readonly isConditional?: boolean | undefined
    }

export type RestDescription<Item, Answer> = Described<Item, Answer> &
  Listed<Answer> & {
    /** The path of the list, relative to the base URL. */
    readonly path: string
    /** The request for one item. `id` is already encoded for a path. */
    readonly itemPath: (id: string) => RestRequest
    /** Resources below each item, by name. */
    readonly children?: Readonly<Record<string, RestChildren<Item>>> | undefined
  }

export type RestChildDescription<Item, Answer> = Described<Item, Answer> & {
  readonly paging?: RestCursor<Answer> | RestCounted | undefined
  /** True if a child that its item's list no longer has is deleted. Not with page numbers or offsets. */
  readonly absentIsDeleted?: boolean | undefined
  /**
   * The request for one child. The ids are already encoded for a path. Default: the child is looked up in its item's
   * list.
   */
  readonly itemPath?: ((id: string, parentId: string) => RestRequest) | undefined
}

/** An item that was decoded. */
export interface RestItem {
  readonly id: string
  readonly revision: string
  readonly isIncluded: boolean
  readonly isDeleted: boolean
  readonly occurredAt: DateTime.Utc | undefined
  readonly content: RestContent
  /** The item's children, or the path of their list, by the name of the resource. */
  readonly children: ReadonlyArray<readonly [string, ReadonlyArray<unknown> | RestPath | undefined]>
}

type Paging =
  | { readonly type: "link" }
  | { readonly type: "none" }
  | { readonly type: "cursor"; readonly param?: string | undefined }
  | RestCounted

/** A list with its types closed over. */
export interface RestList {
  readonly query: Readonly<Record<string, string>>
  readonly kind: string
  readonly paging: Paging
  readonly post: Described<unknown, unknown>["post"]
  readonly absentIsDeleted: boolean
  /** Returns the items of a page, and the cursor of the next page if the response has one. */
  readonly readPage: (
    answer: unknown
  ) => Effect.Effect<{ readonly items: ReadonlyArray<unknown>; readonly next: string | undefined }, IntegrationError>
  /** Decodes an item of a page. */
  readonly readItem: (item: unknown) => Effect.Effect<RestItem, IntegrationError>
  /** Decodes the response for one item; undefined if it has no item. */
  readonly readAlone: (answer: unknown) => Effect.Effect<RestItem | undefined, IntegrationError>
}

export interface RestChild extends RestList {
  readonly itemPath: ((id: string, parentId: string) => RestRequest) | undefined
}

export interface RestResource extends RestList {
  readonly path: string
  readonly since: ((time: DateTime.Utc) => Readonly<Record<string, string>>) | undefined
  readonly isConditional: boolean
  readonly itemPath: (id: string) => RestRequest
  readonly children: Readonly<Record<string, RestChild>>
}

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Names the first field that does not fit its schema, or an error in the description. Other error texts may quote data.
 */
const explained = (cause: unknown): string => {
  if (cause instanceof TypeError) return `: ${cause.message.slice(0, 200)}`
  const path = Schema.isSchemaError(cause) ? issuesOf(cause.issue).issues[0]?.path : undefined
  return path === undefined || path.length === 0 ? "" : `: ${path.map(String).join(".").slice(0, 200)} does not fit`
}

/**
 * Evaluates a function of the description, which may throw. A thrown `Reason` is kept; any other error becomes
 * `Malformed`.
 */
const attempt = <A>(what: string, evaluate: () => A): Effect.Effect<A, IntegrationError> =>
  Effect.catch(Effect.try({ try: evaluate, catch: (cause) => cause }), (cause) =>
    fail(
      Schema.is(Reason)(cause)
        ? cause
        : new Malformed({ message: `${what} does not fit its description${explained(cause)}` })
    )
  )

export const digest = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (bytes) => Buffer.from(bytes).toString("base64url")
  )

const List = Schema.Array(Schema.Unknown)

/** Closes a description over its types. `what` names the list in messages. */
const close = <Item, Answer>(
  what: string,
  description: Described<Item, Answer> & {
    readonly paging?: RestCursor<Answer> | RestCounted | undefined
    readonly absentIsDeleted?: boolean | undefined
  },
  children: Readonly<Record<string, RestChildren<Item>>>
): RestList => {
  const { absentIsDeleted = false, answer, item, kind, paging = { type: "none" }, post, query = {} } = description
  const isCounted = paging.type === "page" || paging.type === "offset"
  if (paging.type === "cursor" && answer === undefined) {
    throw new TypeError(`${what} pages by cursors: describe its answer, which has them`)
  }
  if (paging.type === "cursor" && paging.param === undefined && post === undefined) {
    throw new TypeError(`${what} pages by cursors: name the parameter that has them`)
  }
  if (isCounted && absentIsDeleted) throw new TypeError(`${what} has counted pages: absence says nothing there`)
  const decodeAnswer = Schema.decodeUnknownSync(answer ?? Schema.Never)
  const decodeList = Schema.decodeUnknownSync(List)
  const decodeItem = Schema.decodeUnknownSync(item)
  const encodeItem = Schema.encodeSync(Schema.toCodecJson(item))

  const readItem = Effect.fnUntraced(function* (json: unknown) {
    const { digested, ...read } = yield* attempt(`an item of ${what}`, () => {
      const decoded = decodeItem(json)
      const content = description.content(decoded)
      const revision = description.revision?.(decoded)
      return {
        id: String(description.id(decoded)),
        revision,
        digested: revision === undefined ? JSON.stringify(encodeItem(decoded)) : "",
        isIncluded: description.includes?.(decoded) ?? true,
        isDeleted: description.isDeleted?.(decoded) ?? false,
        occurredAt: Option.getOrUndefined(DateTime.make(content.occurredAt ?? Number.NaN)),
        content,
        children: Object.entries(children).map(([name, { of }]) => [name, of(decoded)] as const)
      }
    })
    return { ...read, revision: read.revision ?? (yield* digest(digested)) } satisfies RestItem
  })

  return {
    query,
    kind,
    paging,
    post,
    absentIsDeleted,
    readPage: (json) =>
      attempt(`the list of ${what}`, () => {
        if (answer === undefined) return { items: decodeList(json), next: undefined }
        const decoded = decodeAnswer(json)
        const next = paging.type === "cursor" ? paging.next(decoded) || undefined : undefined
        return { items: description.items?.(decoded) ?? decodeList(decoded), next }
      }),
    readItem,
    readAlone: (json) =>
      Effect.flatMap(
        attempt(`an item of ${what}`, () =>
          description.itemOf === undefined ? json : description.itemOf(json as Readonly<Record<string, unknown>>)
        ),
        (found) => (found === undefined || found === null ? Effect.succeed(undefined) : readItem(found))
      )
  }
}

/** Describes a resource for `rest`. The external id of an item is `RESOURCE/ID`. */
export const restResource = <Item, Answer = unknown>(description: RestDescription<Item, Answer>): RestResource => {
  const { children = {}, isConditional = false, itemPath, path, since } = description
  if (isConditional && Object.keys(children).length > 0) {
    throw new TypeError(`${path} has children: an unchanged list says nothing about them, so it must be read`)
  }
  return {
    ...close(path, description, children),
    path,
    since: since === "post" ? () => ({}) : since,
    isConditional,
    itemPath,
    children: Object.fromEntries(Object.entries(children).map(([name, { resource }]) => [name, resource]))
  }
}

/** Describes a resource below each item of another one. The external id of a child is `RESOURCE/PARENT/ID`. */
export const restChild = <Item, Answer = unknown>(description: RestChildDescription<Item, Answer>): RestChild => ({
  ...close(`each ${description.kind}`, description, {}),
  itemPath: description.itemPath
})
