/** A REST source over a forum: threads with files in them and replies at their own paths, and its listings. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"

const File = Schema.Struct({ name: Schema.String, size: Schema.Int, hash: Schema.String, thread: Schema.String })
const Reply = Schema.Struct({ id: Schema.String, text: Schema.String })
const Thread = Schema.Struct({
  id: Schema.String,
  title: Schema.String,
  trashed: Schema.Boolean,
  replyCount: Schema.Int,
  files: Schema.Array(Schema.Unknown)
})
const Answer = Schema.Struct({ results: Schema.Array(Schema.Unknown), next: Schema.NullOr(Schema.String) })
const paging = { type: "cursor", param: "cursor", next: ({ next }: typeof Answer.Type) => next } as const
const listed = { answer: Answer, items: ({ results }: typeof Answer.Type) => results, paging }
const threadPath = (id: string) => `threads/${encodeURIComponent(id)}`

const file = Idem.restChild({
  kind: "file",
  item: File,
  id: ({ name }) => name,
  revision: ({ hash }) => hash,
  absentIsDeleted: true,
  content: ({ name, size, thread }) => ({
    title: name,
    mediaType: "text/plain",
    size,
    body: { path: `files/${encodeURIComponent(thread)}/${name}` }
  })
})

const reply = (itemPath?: (id: string, parent: string) => string) =>
  Idem.restChild({
    ...listed,
    kind: "reply",
    item: Reply,
    id: ({ id }) => id,
    itemPath,
    absentIsDeleted: true,
    content: ({ text }) => ({ body: text })
  })

const replyPath = (id: string, parent: string) => `threads/${parent}/replies/${id}`

export type Mode = "absent" | "since"

/**
 * The whole list each time, or the changes since the last time, if threads are marked as deleted and replies are looked
 * up.
 */
export const forum = (mode: Mode) =>
  Idem.rest({
    domain: "forum",
    config: Schema.Struct({ url: Schema.String }),
    scope: [],
    address: ["url"],
    quota: () => ({ unitsPerMinute: 1_000_000_000 }),
    baseUrl: ({ url }) => url,
    auth: { type: "bearer" },
    resources: () => ({
      threads: Idem.restResource({
        ...listed,
        ...(mode === "absent" ? { absentIsDeleted: true } : { since: () => ({ updated: "0" }) }),
        kind: "thread",
        path: "threads",
        item: Thread,
        id: ({ id }) => id,
        itemPath: (id) => `threads/${id}`,
        isDeleted: ({ trashed }) => trashed,
        content: ({ title }) => ({ title, body: title }),
        children: {
          files: { of: ({ files }) => files, resource: file },
          replies: {
            of: ({ id, replyCount }) => (replyCount === 0 ? undefined : { path: `${threadPath(id)}/replies` }),
            resource: reply(mode === "absent" ? replyPath : undefined)
          }
        }
      })
    })
  })

export const open = (mode: Mode, url: string) =>
  forum(mode).open({
    config: { url },
    credentials: { token: "t0ken" },
    call: (_method, _units, request) => request,
    saveCredentials: () => Effect.void
  })

type Place = Option.Option<Schema.Json>

export const list = (mode: Mode, url: string, place: Place = Option.none(), pages = Number.MAX_SAFE_INTEGER) =>
  Effect.gen(function* () {
    const session = yield* open(mode, url)
    const found = yield* Stream.runCollect(Stream.take(session.list(Idem.poll, place, Idem.noParts), pages))
    return {
      ids: found.flatMap((page) => page.listed.map(({ externalId }) => externalId)),
      covers: found.flatMap(({ covers = [] }) => covers.map(({ prefix }) => prefix)),
      problems: found.flatMap(({ problems = [] }) => problems.map(({ place }) => place)),
      isComplete: found.some(({ complete }) => complete === true),
      checkpoint: Option.fromUndefinedOr(found.at(-1)?.checkpoint)
    }
  }).pipe(Effect.scoped, Effect.provide(Idem.ContentExistenceChecker.layerTest([])))
