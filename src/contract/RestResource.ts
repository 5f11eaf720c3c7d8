/** A resource of a REST API: a list of items at a path. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Metadata } from "./Content.ts"
import { type IntegrationError, Malformed } from "./IntegrationError.ts"
import { fail } from "./HttpRequest.ts"

/** Pages that follow each other by the server's own mark. */
export type RestCursor<Answer> =
  | { readonly type: "link" }
  | {
      readonly type: "cursor"
      readonly param: string
      /** The cursor of the next page; none on the last one. */
      readonly next: (answer: Answer) => string | null | undefined
    }

/**
 * Pages that are counted. An item that is removed meanwhile moves the others forward, so that one may be in no page:
 * choose an order in which items keep their places. They end with a page that has no items: a server may give fewer than asked.
 */
export type RestCounted =
  | { readonly type: "page"; readonly param: string; readonly first?: number | undefined }
  | { readonly type: "offset"; readonly param: string }

/** What an item becomes. */
export interface RestContent {
  readonly title?: string | undefined
  /** When it happened: a text, milliseconds since 1970, or a date. */
  readonly occurredAt?: string | number | Date | null | undefined
  readonly mediaType?: string | undefined
  readonly metadata?: Metadata | undefined
  /** The body, or the path at which it is. */
  readonly body: string | Uint8Array | { readonly path: string }
}

interface Described<Item, Answer> {
  /** The path of the list, below the base URL. */
  readonly path: string
  /** Parameters of each request for a page. */
  readonly query?: Readonly<Record<string, string>> | undefined
  /** The answer to a request for a page. Default: a list of items; cursors need it. */
  readonly answer?: Schema.Codec<Answer, unknown> | undefined
  /** The items of an answer. Default: the answer itself. */
  readonly items?: ((answer: Answer) => ReadonlyArray<unknown>) | undefined
  readonly item: Schema.Codec<Item, unknown>
  /** The id of an item, unique in its resource. Its external id is `RESOURCE/ID`. */
  readonly id: (item: Item) => string | number
  /** The path of one item; `id` is encoded for it. */
  readonly itemPath: (id: string) => string
  /** The item in the answer for one item. Default: the answer itself. */
  readonly itemOf?: ((answer: unknown) => unknown) | undefined
  /** Changes with the content. Default: a digest of the fields that `item` names. */
  readonly revision?: ((item: Item) => string) | undefined
  /** False leaves an item out. */
  readonly includes?: ((item: Item) => boolean) | undefined
  /** True for an item that the source still lists, and that is deleted. */
  readonly isDeleted?: ((item: Item) => boolean) | undefined
  readonly kind: string
  readonly content: (item: Item) => RestContent
}

/**
 * Either changes are listed since a time, or the whole list each time: only then, and only with marks of the server's
 * own, can an item's absence say that it is deleted.
 */
type Listed<Answer> =
  | {
      readonly paging: RestCursor<Answer> | RestCounted
      /** The parameters that list what changed since this time. */
      readonly since?: ((time: DateTime.Utc) => Readonly<Record<string, string>>) | undefined
      readonly absentIsDeleted?: false | undefined
    }
  | { readonly paging: RestCursor<Answer>; readonly since?: undefined; readonly absentIsDeleted: true }

export type RestDescription<Item, Answer> = Described<Item, Answer> & Listed<Answer>

/** An item as it was read. */
export interface RestItem {
  readonly id: string
  readonly revision: string
  readonly isIncluded: boolean
  readonly isDeleted: boolean
  readonly occurredAt: DateTime.Utc | undefined
  readonly content: RestContent
}

/** A resource whose types are closed over. */
export interface RestResource {
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly kind: string
  readonly paging: { readonly type: "link" } | { readonly type: "cursor"; readonly param: string } | RestCounted
  readonly since: ((time: DateTime.Utc) => Readonly<Record<string, string>>) | undefined
  readonly absentIsDeleted: boolean
  readonly itemPath: (id: string) => string
  /** The items of a page, and the cursor of the next one, where the answer has it. */
  readonly readPage: (
    answer: unknown
  ) => Effect.Effect<{ readonly items: ReadonlyArray<unknown>; readonly next: string | undefined }, IntegrationError>
  /** An item, as a page has it. */
  readonly readItem: (item: unknown) => Effect.Effect<RestItem, IntegrationError>
  /** An item, as the answer for it alone has it. */
  readonly readAlone: (answer: unknown) => Effect.Effect<RestItem, IntegrationError>
}

/** The functions of a description may throw: an answer that they do not expect is malformed. */
const attempt = <A>(what: string, evaluate: () => A): Effect.Effect<A, IntegrationError> =>
  Effect.catch(Effect.try({ try: evaluate, catch: (cause) => cause }), () =>
    fail(new Malformed({ message: `${what} is not as it was described` }))
  )

const digest = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (bytes) => Buffer.from(bytes).toString("base64url")
  )

const List = Schema.Array(Schema.Unknown)

/** Describes a resource for `rest`. */
export const restResource = <Item, Answer = unknown>(description: RestDescription<Item, Answer>): RestResource => {
  const { absentIsDeleted, answer, item, kind, paging, path, query, since } = description
  if (answer === undefined && paging.type === "cursor") {
    throw new TypeError(`the resource ${path} pages by cursors: describe its answer, which has them`)
  }
  const decodeAnswer = Schema.decodeUnknownSync(answer ?? Schema.Never)
  const decodeList = Schema.decodeUnknownSync(List)
  const decodeItem = Schema.decodeUnknownSync(item)
  const encodeItem = Schema.encodeSync(Schema.toCodecJson(item))
  const list = `the list of ${path}`

  const next = (decoded: Answer) => (paging.type === "cursor" ? paging.next(decoded) || undefined : undefined)

  const readItem = Effect.fnUntraced(function* (json: unknown) {
    const { digested, ...read } = yield* attempt(`an item of ${path}`, () => {
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
        content
      }
    })
    return { ...read, revision: read.revision ?? (yield* digest(digested)) } satisfies RestItem
  })

  return {
    path,
    query: query ?? {},
    kind,
    paging,
    since,
    absentIsDeleted: absentIsDeleted ?? false,
    itemPath: description.itemPath,
    readPage: (json) =>
      attempt(list, () => {
        if (answer === undefined) return { items: decodeList(json), next: undefined }
        const decoded = decodeAnswer(json)
        return { items: description.items?.(decoded) ?? decodeList(decoded), next: next(decoded) }
      }),
    readItem,
    readAlone: (json) =>
      Effect.flatMap(
        attempt(`an item of ${path}`, () => description.itemOf?.(json) ?? json),
        readItem
      )
  }
}
