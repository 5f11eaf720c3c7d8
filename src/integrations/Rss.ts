/**
 * A feed: RSS, Atom or JSON Feed.
 *
 * An entry's external id is its guid or id, else its link. Its body is its text as the feed has it (mostly HTML), in
 * UTF-8. Its revision is a digest of all stored fields, because many feeds edit an entry without changing its date.
 *
 * A feed shows only its latest entries: an entry that leaves the feed stays stored, unless the feed states with
 * `fh:complete` (RFC 5005, 2) that it has no others. Older entries are in linked documents (see `History.ts`). While
 * these are being read, each listing begins with the feed itself.
 *
 * The checkpoint makes the next request conditional, so that an unchanged feed costs only that request. If a server
 * sends no validators, a digest of the feed shows whether it has changed.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../contract/ContentExistenceChecker.ts"
import { field } from "../contract/Field.ts"
import * as HttpRequest from "../contract/HttpRequest.ts"
import { aboutQuota, make, QuotaConfig } from "../contract/Integration.ts"
import { Gone, Malformed, TooLarge } from "../contract/IntegrationError.ts"
import type { Parts } from "../contract/Parts.ts"
import { inWindow } from "../contract/SyncTask.ts"
import { maxEntries, unpack } from "./rss/EntryPages.ts"
import { FeedReader } from "./rss/FeedReader.ts"
import * as History from "./rss/History.ts"
import { projection } from "./rss/Projection.ts"

const Checkpoint = Schema.Struct({
  /** The validators for the next request. */
  seen: Schema.Record(Schema.String, Schema.String),
  /** The SHA-256 of the feed. */
  digest: Schema.String,
  /** How many entries of this feed have been listed, if a listing of many pages was interrupted. */
  listed: Schema.optionalKey(Schema.Int),
  /** The name of that listing, if the feed is complete. */
  pass: Schema.optionalKey(Schema.String),
  /** The progress of reading older documents. */
  older: Schema.optionalKey(History.Progress)
})
type Checkpoint = typeof Checkpoint.Type

/** Makes an unconditional request, and lists every entry. */
const unread: Checkpoint = { seen: {}, digest: "" }

/** The size limit of a feed, which is read as a whole. */
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
  part: History.Part,
  scope: ["url"],
  address: ["url"],
  quota: ({ quota }) => ({ unitsPerMinute: 60, ...quota }),
  open: Effect.fnUntraced(function* ({ call, config: { url }, network }) {
    const server: HttpRequest.HttpServer = { network, baseUrl: url, headers: {}, followsElsewhere: true }
    const reader = yield* FeedReader

    const refuse = (why: string) => HttpRequest.fail(new Malformed({ message: `${url.host} gives no feed: ${why}` }))

    const asked = { headers: { accept }, most: maxMegabytes * 1024 * 1024 }

    const digestOf = ({ bytes }: HttpRequest.Answer) =>
      Effect.map(
        // Unlike `createHash`, this does not block the main thread.
        Effect.promise(() => crypto.subtle.digest("SHA-256", new Uint8Array(bytes))),
        (hash) => Buffer.from(hash).toString("base64url")
      )

    const parse = Effect.fnUntraced(function* ({ bytes, headers, url: { href } }: HttpRequest.Answer) {
      const found = yield* reader
        .read({ bytes, mediaType: headers.get("content-type") ?? "", url: href })
        .pipe(
          Effect.catchTag("WorkerFailed", ({ message, reason }) =>
            reason === "unreadable"
              ? refuse("it can't be read")
              : HttpRequest.fail(new TooLarge({ message: `the feed of ${url.host} can't be read: ${message}` }))
          )
        )
      return "problem" in found ? yield* refuse(found.problem) : found
    })

    /** Reads the feed. If it is unchanged since this checkpoint, returns undefined with the new validators. */
    const read = Effect.fnUntraced(function* (before: Checkpoint) {
      const answer = yield* call("feed", 1, HttpRequest.askIfChanged(server, url, { ...asked, seen: before.seen }))
      if (answer === undefined) return { checkpoint: before }
      const digest = yield* digestOf(answer)
      const checkpoint = { seen: HttpRequest.validators(answer.headers), digest }
      if (digest === before.digest && before.listed === undefined) return { checkpoint }
      return { feed: yield* parse(answer), checkpoint }
    })

    /** Reads an older document. */
    const readOlder = (address: string) =>
      Effect.flatMap(call("feed", 1, HttpRequest.ask(server, new URL(address), asked)), parse)

    const current = yield* Effect.cached(
      Effect.map(read(unread), ({ feed }) => feed ?? { pages: [], count: 0, older: undefined })
    )
    // The feed is read once for all ids that are downloaded in one session.
    const entries = yield* Effect.cached(
      Effect.flatMap(current, ({ pages }) =>
        Effect.forEach(pages, (page) => Effect.as(Effect.yieldNow, unpack(page)))
      ).pipe(Effect.map((pages) => new Map(pages.flat().map((entry) => [entry.externalId, entry.content]))))
    )

    /** The pages of the feed itself, each with the checkpoint after it. */
    const newest = Effect.fnUntraced(function* (before: Checkpoint, parts: Parts<History.Part>) {
      const { older = null } = before
      const { checkpoint, feed } = yield* read(before)
      if (feed === undefined) return [{ page: undefined, checkpoint: { ...checkpoint, older }, listing: {} }]
      const from = Math.floor((before.listed ?? 0) / maxEntries)
      // If the feed changed during a listing, it is listed again.
      const isWhole = from === 0 || before.digest === checkpoint.digest
      const end: Checkpoint = isWhole
        ? { ...checkpoint, older: feed.isComplete ? null : yield* History.begin(older, feed.older, parts) }
        : { ...unread, older }
      // Without a digest, later slices of an incomplete listing know that it is incomplete.
      const { digest } = isWhole ? checkpoint : unread
      const pass = feed.isComplete && isWhole ? (before.pass ?? `pass ${(yield* Random.nextInt) >>> 0}`) : undefined
      const name = pass === undefined ? {} : { pass }
      const left = feed.pages.slice(from)
      return (left.length === 0 ? [undefined] : left).map((page, index) => {
        const isLast = index >= left.length - 1
        const here: Checkpoint = { ...unread, digest, listed: (from + index + 1) * maxEntries, ...name, older }
        const covers = isLast ? [{ prefix: "" }] : []
        return { page, checkpoint: isLast ? end : here, listing: pass === undefined ? {} : { listing: pass, covers } }
      })
    })

    return {
      // The quota belongs to the host, whichever of its feeds is read.
      account: Effect.succeed(url.host),
      estimate: Effect.map(current, ({ count, older }) => {
        const unitsPerItem = 1 / (count || 1)
        return older === undefined ? { items: count, unitsPerItem } : { unitsPerItem }
      }),
      list: (task, stored, parts) => {
        const before = Option.getOrElse(stored, (): Checkpoint => unread)
        const given = new Set<string>()
        let latest = before
        const own = Stream.mapEffect(
          Stream.fromIterableEffect(newest(before, parts)),
          Effect.fnUntraced(function* ({ checkpoint, listing, page }) {
            const listed = (page === undefined ? [] : unpack(page)).filter(({ content }) =>
              inWindow(task, content.occurredAt)
            )
            for (const { externalId } of listed) given.add(externalId)
            const download = yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" })
            latest = checkpoint
            // A window leaves out entries that exist, so the listing proves no absence.
            return { listed, download, checkpoint, ...(task.window === undefined ? listing : {}) }
          })
        )
        const older = Stream.suspend(() => {
          const { digest, listed, older: from, seen } = latest
          if (!History.isWalk(from) || listed !== undefined) return Stream.empty
          const isResumed = History.isWalk(before.older) && before.older.at === from.at
          return Stream.map(
            History.walk({
              read: readOlder,
              task,
              parts,
              from,
              isResumed,
              given,
              isLaterSlice: Option.isSome(stored)
            }),
            ({ progress, ...page }) => {
              // Pages that shifted while they were read are read again, after the feed.
              const isDue = from.isBehind === true && progress === "read"
              return { ...page, checkpoint: { ...(isDue ? unread : { seen, digest }), older: progress } }
            }
          )
        })
        return Stream.concat(own, older)
      },
      download: Effect.fnUntraced(function* ({ externalId }) {
        const found =
          (yield* entries).get(externalId) ?? (yield* History.find(readOlder, (yield* current).older, externalId))
        if (found !== undefined) return found
        return yield* HttpRequest.fail(new Gone({ message: `${externalId} is no longer in the feed` }))
      })
    }
  })
})
