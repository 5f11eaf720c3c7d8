/**
 * Finds the author and the channel of a content, and the names of the users and channels that it mentions by their ids:
 * in its metadata (`user`, `channel`) and in its title (`<@U…>`, `<#C…>`). Names are the titles of the mirrored
 * `users/…` and `channels/…` of the same connection.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { textOf } from "../../contract/Projection.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentRow } from "../../engine/model/Content.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"

/** Fields that the API adds to those of a content. */
export const Named = Schema.Struct({
  /** The author: an email's sender, or the author of a message by name, or by id if no name is known. */
  from: Schema.NullOr(Schema.String),
  /** The channel of a message, by name or id. */
  in: Schema.NullOr(Schema.String),
  /** The names by the ids that the title and the metadata mention. */
  names: Schema.Record(Schema.String, Schema.String)
})
export type Named = typeof Named.Type

export const none: Named = { from: null, in: null, names: {} }

/** The fields of a content that mention users and channels. `snippet` is a part of its text. */
interface Mentioning extends Pick<ContentRow, "kind" | "title" | "metadata"> {
  readonly snippet?: string | null | undefined
}

/** The most names for one content. */
const most = 20

const mention = /<([@#])([A-Z0-9]{2,20})(?:\|[^>]*)?>/g
const plainMention = /(?<![\w<])([@#])([A-Z0-9]{2,20})\b/g

const idOf = (value: unknown): string | undefined =>
  typeof value === "string" && /^[A-Z0-9]{2,20}$/.test(value) ? value : undefined

/** Returns the external ids of the users and channels that the content mentions. */
const mentioned = ({ metadata, snippet, title }: Mentioning): ReadonlyArray<string> => {
  const mentions = [...(title ?? "").matchAll(mention), ...(snippet ?? "").matchAll(plainMention)]
  const named = [
    ["users", idOf(metadata["user"])],
    ["channels", idOf(metadata["channel"])],
    ...mentions.map(([, sign, id]) => [sign === "@" ? "users" : "channels", id] as const)
  ] as const
  return [...new Set(named.flatMap(([kind, id]) => (id === undefined ? [] : [`${kind}/${id}`])))].slice(0, most)
}

/** Replaces mentioned ids in a text by their names. */
export const inText = (text: string, names: Named["names"]): string => {
  const named = (whole: string, sign: string, id: string) => (Object.hasOwn(names, id) ? `${sign}${names[id]}` : whole)
  return text.replace(mention, named).replace(plainMention, named)
}

const isSender = Schema.is(
  Schema.Struct({ name: Schema.optionalKey(Schema.String), address: Schema.optionalKey(Schema.String) })
)

/** Formats the sender in the metadata of an email as name and address. */
const senderOf = (from: unknown): string | null => {
  if (!isSender(from)) return textOf(from)
  const [name, address] = [textOf(from.name), textOf(from.address)]
  return name === null ? address : address === null ? name : `${name} <${address}>`
}

const lastOf = (externalId: string): string => externalId.replace(/^.*\//, "")

const named = (content: Mentioning, names: Readonly<Record<string, string>>): Named => {
  const { kind, metadata } = content
  // In a direct conversation, the user is the partner and not the author.
  const user = kind === "channel" ? undefined : metadata["user"]
  const nameOf = (id: unknown) =>
    typeof id === "string" && Object.hasOwn(names, id) ? (names[id] ?? null) : textOf(id)
  const own = mentioned(content).map(lastOf)
  return {
    from: senderOf(metadata["from"]) ?? nameOf(user) ?? textOf(metadata["botId"]),
    in: nameOf(metadata["channel"]),
    names: Object.fromEntries(own.flatMap((id) => (Object.hasOwn(names, id) ? [[id, names[id] ?? ""]] : [])))
  }
}

/**
 * Returns the names for each of these contents of a connection, in order, with at most two queries. Ids whose user or
 * channel is not stored are absent.
 */
export const find = Effect.fnUntraced(function* (
  contents: Pick<ContentStore["Service"], "contentsById">,
  connectionId: ConnectionId,
  page: ReadonlyArray<Mentioning>
) {
  const stored = (ids: ReadonlyArray<string>) =>
    ids.length === 0 ? Effect.succeed(new Map<string, ContentRow>()) : contents.contentsById(connectionId, ids)
  const found = yield* stored([...new Set(page.flatMap(mentioned))])
  // A direct conversation has no name of its own: the name of the other person is used.
  const partnerOf = (row: ContentRow | undefined) => (row?.kind === "channel" ? idOf(row.metadata["user"]) : undefined)
  const partners = [...found.values()].flatMap((row) => partnerOf(row) ?? []).map((id) => `users/${id}`)
  const persons = new Map([...found, ...(yield* stored(partners.filter((id) => !found.has(id))))])
  const names: Record<string, string> = {}
  for (const [externalId, row] of found) {
    const partner = partnerOf(row)
    const name = (partner === undefined ? undefined : persons.get(`users/${partner}`)?.title) ?? row.title
    if (name !== null) names[lastOf(externalId)] = name
  }
  return page.map((content) => named(content, names))
})

/** Returns the names for results of a search, with one more query for their metadata. */
export const ofResults = Effect.fnUntraced(function* <
  Result extends Pick<ContentRow, "externalId" | "kind" | "title"> & { readonly snippet: string | null }
>(contents: Pick<ContentStore["Service"], "contentsById">, connectionId: ConnectionId, results: ReadonlyArray<Result>) {
  const rows = yield* contents.contentsById(
    connectionId,
    results.map(({ externalId }) => externalId)
  )
  const mentioning = results.map((result) => ({ ...result, metadata: rows.get(result.externalId)?.metadata ?? {} }))
  const names = yield* find(contents, connectionId, mentioning)
  return new Map(results.map((result, index) => [result, names[index] ?? none]))
})
