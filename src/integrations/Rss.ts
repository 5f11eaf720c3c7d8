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
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { ContentExistenceChecker } from "../contract/ContentExistenceChecker.ts"
import { field } from "../contract/Field.ts"
import * as HttpRequest from "../contract/HttpRequest.ts"
import { aboutQuota, make, QuotaConfig } from "../contract/Integration.ts"
import { Gone, Malformed } from "../contract/IntegrationError.ts"
import { inWindow } from "../contract/SyncTask.ts"
import { NoFeed, parse } from "./rss/Feed.ts"
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
const maxBytes = 16 * 1024 * 1024
const maxRefs = 500

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

    /** The feed; undefined if it is as this checkpoint says. */
    const read = Effect.fnUntraced(function* (before: Checkpoint) {
      const answer = yield* call(
        "feed",
        1,
        HttpRequest.ask(server, url, { headers: { accept }, most: maxBytes, seen: before.seen })
      )
      if (answer === undefined) return undefined
      const digest = createHash("sha256").update(answer.bytes).digest("base64url")
      const checkpoint: Checkpoint = { seen: HttpRequest.validators(answer.headers), digest }
      if (digest === before.digest && before.listed === undefined) return { entries: [], checkpoint }
      const entries = yield* Effect.try({
        try: () => parse(answer.bytes, answer.headers.get("content-type") ?? "", answer.url),
        catch: (cause) => {
          const why = cause instanceof NoFeed ? cause.message : "it can't be read"
          return new Malformed({ message: `${url.host} gives no feed: ${why}` })
        }
      }).pipe(Effect.catch(HttpRequest.fail))
      return { entries, checkpoint }
    })

    // However many ids are downloaded in one session, the feed is read once for them.
    const current = yield* Effect.cached(Effect.map(read(unread), (feed) => feed?.entries ?? []))
    return {
      // The quota is the host's, whichever of its feeds is read.
      account: Effect.succeed(url.host),
      estimate: Effect.map(current, ({ length }) => ({ items: length, unitsPerItem: 1 / (length || 1) })),
      list: (task, stored) => {
        const before = Option.getOrElse(stored, () => unread)
        const pages = Effect.map(read(before), (feed) => {
          const { checkpoint, entries } = feed ?? { checkpoint: before, entries: [] }
          const from = before.listed ?? 0
          const listed = entries.slice(from).filter(({ content }) => inWindow(task, content.occurredAt))
          const chunks = Arr.isReadonlyArrayNonEmpty(listed) ? Arr.chunksOf(listed, maxRefs) : [[]]
          // A feed that changed in the middle of a listing is listed once more.
          const end = from === 0 || before.digest === checkpoint.digest ? checkpoint : unread
          return chunks.map((page, index) => ({
            listed: page,
            checkpoint:
              index === chunks.length - 1
                ? end
                : { ...unread, digest: checkpoint.digest, listed: from + (index + 1) * maxRefs }
          }))
        })
        return Stream.mapEffect(Stream.fromIterableEffect(pages), (page) =>
          Effect.map(ContentExistenceChecker.selectNew(task, page.listed, { by: "revision" }), (download) => ({
            ...page,
            download
          }))
        )
      },
      download: Effect.fnUntraced(function* ({ externalId }) {
        const found = (yield* current).find((one) => one.externalId === externalId)
        if (found !== undefined) return found.content
        return yield* HttpRequest.fail(new Gone({ message: `${externalId} is no longer in the feed` }))
      })
    }
  })
})
