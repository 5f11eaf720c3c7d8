/**
 * The names of users and channels that a content mentions by their ids: in its metadata (`user`, `channel`) and in its
 * title (`<@U…>`, `<#C…>`). They are the titles of the mirrored `users/…` and `channels/…` of the same connection.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentRow } from "../../engine/model/Content.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"

/** Names that one content is given at most: each is a look-up by key. */
const most = 20

const mention = /<([@#])([A-Z0-9]{2,20})(?:\|[^>]*)?>/g

const idOf = (value: unknown): string | undefined =>
  typeof value === "string" && /^[A-Z0-9]{2,20}$/.test(value) ? value : undefined

/** External ids of the users and channels that the content mentions. */
const mentioned = ({ metadata, title }: ContentRow): ReadonlyArray<string> => {
  const named = [
    ["users", idOf(metadata["user"])],
    ["channels", idOf(metadata["channel"])],
    ...Array.from((title ?? "").matchAll(mention), ([, sign, id]) => [sign === "@" ? "users" : "channels", id] as const)
  ] as const
  return [...new Set(named.flatMap(([kind, id]) => (id === undefined ? [] : [`${kind}/${id}`])))].slice(0, most)
}

/** Names by id. Ids whose user or channel is not stored are absent. */
export const find = Effect.fnUntraced(function* (
  contents: Pick<ContentStore["Service"], "content">,
  connectionId: ConnectionId,
  content: ContentRow
) {
  const stored = (externalId: string) => Effect.map(contents.content(connectionId, externalId), Option.getOrUndefined)
  const names: Record<string, string> = {}
  for (const externalId of mentioned(content)) {
    const found = yield* stored(externalId)
    // A direct conversation has no name of its own: it is named for the other person.
    const partner = found?.kind === "channel" ? idOf(found.metadata["user"]) : undefined
    const person = partner === undefined ? undefined : yield* stored(`users/${partner}`)
    const name = person?.title ?? found?.title
    if (name !== undefined && name !== null) names[externalId.replace(/^.*\//, "")] = name
  }
  return names
})
