/**
 * A feed: RSS, Atom or JSON Feed.
 *
 * An entry's external id is its guid or id, else its link. Its body is its text as the feed gives it (mostly HTML), in
 * UTF-8. Its revision is a digest of all that is kept, since many feeds edit an entry and leave its date. A feed shows
 * only its latest entries: nothing is ever covered, and an entry that leaves the feed stays stored.
 *
 * The checkpoint makes the next request conditional, so that an unchanged feed costs that one request. A server that
 * gives no validators is answered for by a digest of the feed.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../contract/ContentExistenceChecker.ts"
import { field } from "../contract/Field.ts"
import * as HttpRequest from "../contract/HttpRequest.ts"
import { aboutQuota, make, QuotaConfig } from "../contract/Integration.ts"
import { Gone, Malformed, TooLarge } from "../contract/IntegrationError.ts"
import { inWindow } from "../contract/SyncTask.ts"
import { maxEntries, unpack } from "./rss/EntryPages.ts"
import { FeedReader } from "./rss/FeedReader.ts"
import { projection } from "./rss/Projection.ts"

const Checkpoint = Schema.Struct({
  /** The headers of the next request. */
  seen: Schema.Record(Schema.String, Schema.String),
  /** SHA-256 of the feed. */
  digest: Schema.String,
  /** How many entries of this feed have been listed, where a listing of many pages was interrupted. */
  listed: Schema.optionalKey(Schema.Int)
})
type Checkpoint = typeof Checkpoint.Type

/** Makes an unconditional request, and lists every entry. */
const unread: Checkpoint = { seen: {}, digest: "" }

/** A feed is read as a whole; a larger one is refused. */
const maxMegabytes = 16

const accept =
  "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5"

const FeedUrl = Schema.URLFromString.pipe(
  Schema.check(
    Schema.makeFilter<URL>((url) => {
      if (!/^https?:$/.test(url.protocol)) return "it must begin with https:// or http://"
      return url.username === "" && url.password === "" ? undefined : "it may not hold a user name or a password"
    })
  )
)

export const integration = make({
  domain: "rss",
  title: "RSS, Atom, JSON Feed",
  summary: "the entries of a feed",
  projection,
  config: Schema.Struct({
    url: field(FeedUrl, {
      title: "Address of the feed",
      description: "RSS, Atom or JSON Feed.",
      example: "https://hnrss.org/frontpage"
    }),
    quota: field(Schema.optionalKey(QuotaConfig), aboutQuota)
  }),
  credentials: Schema.Struct({}),
  checkpoint: Checkpoint,
  scope: ["url"],
  address: ["url"],
  quota: ({ quota }) => ({ unitsPerMinute: 60, ...quota }),
  open: Effect.fnUntraced(function* ({ call, config: { url }, network }) {
    const server: HttpRequest.HttpServer = { network, baseUrl: url, headers: {}, followsElsewhere: true }
    const reader = yield* FeedReader

    const refuse = (why: string) => HttpRequest.fail(new Malformed({ message: `${url.host} gives no feed: ${why}` }))

    /** The pages of entries of the feed, packed; undefined if it is as this checkpoint says. */
    const read = Effect.fnUntraced(function* (before: Checkpoint) {
      const most = maxMegabytes * 1024 * 1024
      const answer = yield* call(
        "feed",
        1,
        HttpRequest.ask(server, url, { headers: { accept }, most, seen: before.seen })
      )
      if (answer === undefined) return undefined
      // Unlike `createHash`, it does not hold up the main thread.
      const hash = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", new Uint8Array(answer.bytes)))
      const digest = Buffer.from(hash).toString("base64url")
      const checkpoint: Checkpoint = { seen: HttpRequest.validators(answer.headers), digest }
      if (digest === before.digest && before.listed === undefined) return { pages: [], count: 0, checkpoint }
      const mediaType = answer.headers.get("content-type") ?? ""
      const found = yield* reader
        .read({ bytes: answer.bytes, mediaType, url: answer.url.href })
        .pipe(
          Effect.catchTag("WorkerFailed", ({ message, reason }) =>
            reason === "unreadable"
              ? refuse("it can't be read")
              : HttpRequest.fail(new TooLarge({ message: `the feed of ${url.host} can't be read: ${message}` }))
          )
        )
      if ("problem" in found) return yield* refuse(found.problem)
      return { ...found, checkpoint }
    })

    const current = yield* Effect.cached(read(unread))
    // However many ids are downloaded in one session, the feed is read once for them.
    const entries = yield* Effect.cached(
      Effect.flatMap(current, (feed) =>
        Effect.forEach(feed?.pages ?? [], (page) => Effect.as(Effect.yieldNow, unpack(page)))
      ).pipe(Effect.map((pages) => new Map(pages.flat().map((entry) => [entry.externalId, entry.content]))))
    )
    return {
      // The quota is the host's, whichever of its feeds is read.
      account: Effect.succeed(url.host),
      estimate: Effect.map(current, (feed) => ({ items: feed?.count ?? 0, unitsPerItem: 1 / (feed?.count || 1) })),
      list: (task, stored) => {
        const before = Option.getOrElse(stored, () => unread)
        const pages = Effect.map(read(before), (feed) => {
          const { checkpoint, pages } = feed ?? { checkpoint: before, pages: [] }
          const from = Math.floor((before.listed ?? 0) / maxEntries)
          // A feed that changed in the middle of a listing is listed once more.
          const end = from === 0 || before.digest === checkpoint.digest ? checkpoint : unread
          const left = pages.slice(from)
          return (left.length === 0 ? [undefined] : left).map((page, index) => ({
            page,
            checkpoint:
              index >= left.length - 1
                ? end
                : { ...unread, digest: checkpoint.digest, listed: (from + index + 1) * maxEntries }
          }))
        })
        return Stream.mapEffect(
          Stream.fromIterableEffect(pages),
          Effect.fnUntraced(function* ({ checkpoint, page }) {
            const listed = (page === undefined ? [] : unpack(page)).filter(({ content }) =>
              inWindow(task, content.occurredAt)
            )
            const download = yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" })
            return { listed, download, checkpoint }
          })
        )
      },
      download: Effect.fnUntraced(function* ({ externalId }) {
        const found = (yield* entries).get(externalId)
        if (found !== undefined) return found
        return yield* HttpRequest.fail(new Gone({ message: `${externalId} is no longer in the feed` }))
      })
    }
  })
})
