/**
 * Mirrors a feed, RSS or Atom. The checkpoint makes the next GET conditional: an unchanged feed costs that one call.
 *
 * An entry's external id is its guid, id or link; its body is its text as the feed gives it (mostly HTML), in UTF-8;
 * its revision is a digest of what is kept, since many feeds edit an entry and leave its date. A feed shows only its
 * latest entries: nothing is ever covered, and what leaves the feed stays stored.
 */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { parseFeed } from "feedsmith"
import * as Idem from "@idem-sync/idem/contract"
import { createHash } from "node:crypto"

/** The headers that make the next GET conditional. */
const Checkpoint = Schema.Record(Schema.String, Schema.String)
type Checkpoint = typeof Checkpoint.Type

/** A larger feed is refused; of more entries than these ten pages, the first are read. */
const maxBytes = 32 * 1024 * 1024
const maxItems = 5_000

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

const entry = (id = "", title = "", link = "", text = "", date = ""): Idem.Ref & { readonly content: Idem.Content } => {
  const revision = sha256(JSON.stringify([title, link, text, date]))
  const externalId = Idem.externalIdProblem(id) === undefined ? id : sha256(id || revision)
  const about = { kind: "entry", title, mediaType: "text/html", metadata: { link } }
  const occurredAt = Option.getOrUndefined(DateTime.make(date))
  return { externalId, revision, content: { ...about, occurredAt, body: new TextEncoder().encode(text) } }
}

const parse = (bytes: Uint8Array, mediaType: string | null) => {
  const prolog = new TextDecoder("latin1").decode(bytes.subarray(0, 200))
  const charset = /charset="?([\w-]+)/i.exec(mediaType ?? "") ?? /^<\?xml[^>]+encoding=["']([\w-]+)/.exec(prolog)
  const { feed, format } = parseFeed(new TextDecoder(charset?.[1]).decode(bytes), { maxItems })
  if (format === "rss") {
    return (feed.items ?? []).map(({ content, description, guid, link, pubDate, title }) =>
      entry(guid?.value ?? link, title, link, content?.encoded ?? description, pubDate)
    )
  }
  if (format !== "atom") throw new Error("it is neither RSS nor Atom")
  return (feed.entries ?? []).map(({ content, id, links, published, summary, title, updated }) => {
    const link = links?.find(({ rel = "alternate" }) => rel === "alternate")?.href
    return entry(id ?? link, title?.value, link, content?.value ?? summary?.value, published ?? updated)
  })
}

const refusal = (status: number, retryAfter: number, message: string): Idem.Reason => {
  if (status === 401) return new Idem.Unauthorized({ message })
  if (status === 403) return new Idem.Forbidden({ message })
  if (status === 404 || status === 410) return new Idem.Gone({ message })
  if (status === 429) return new Idem.RateLimited({ message, retryAfter: Duration.seconds(retryAfter) })
  return new Idem.Transient({ message })
}

/** The feed, or no entries where it is as it was. Rejects with a reason, or with what went wrong on the way. */
const get = async ({ fetch }: Idem.Network, url: URL, seen: Checkpoint, signal: AbortSignal) => {
  const { body, headers, status } = await fetch(url, { headers: seen, signal })
  if (status === 304) return { entries: [], checkpoint: seen }
  if (status !== 200) {
    await body?.cancel()
    throw refusal(status, Number(headers.get("retry-after")) || 60, `${url.host} answers ${status}`)
  }
  const chunks: Array<Uint8Array> = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.length
    if (size > maxBytes) throw new Idem.TooLarge({ message: `the feed of ${url.host} has over ${maxBytes} bytes` })
    chunks.push(chunk)
  }
  const [etag, modified] = [headers.get("etag"), headers.get("last-modified")]
  const checkpoint: Checkpoint = {
    ...(etag === null ? {} : { "if-none-match": etag }),
    ...(modified === null ? {} : { "if-modified-since": modified })
  }
  return { entries: parse(Buffer.concat(chunks), headers.get("content-type")), checkpoint }
}

/** Messages name the host only: the address of a private feed is a secret. */
const read = (network: Idem.Network, url: URL, seen: Checkpoint) =>
  Effect.tryPromise({
    try: (signal) => get(network, url, seen, signal),
    catch: (cause) => {
      const unclear = new Idem.Transient({ message: `${url.host} gives no feed: ${cause}` })
      return new Idem.IntegrationError({ reason: Schema.is(Idem.Reason)(cause) ? cause : unclear })
    }
  })

export const rss = Idem.Integration.make({
  domain: "rss",
  title: "RSS and Atom",
  summary: "a feed",
  config: Schema.Struct({
    url: Idem.field(Schema.URLFromString, {
      title: "Address of the feed",
      description: "RSS 2.0 or Atom.",
      example: "https://hnrss.org/frontpage"
    }),
    quota: Idem.field(Schema.optionalKey(Idem.Integration.QuotaConfig), Idem.Integration.aboutQuota)
  }),
  credentials: Schema.Struct({}),
  checkpoint: Checkpoint,
  scope: ["url"],
  address: ["url"],
  quota: ({ quota }) => ({ unitsPerMinute: 60, ...quota }),
  open: Effect.fnUntraced(function* ({ call, config: { url }, network }) {
    // However many ids are downloaded in one session, the feed is read once for them.
    const current = yield* Effect.cached(call("feed", 1, read(network, url, {})))
    return {
      // The quota is the host's, whichever of its feeds is read.
      account: Effect.succeed(url.host),
      estimate: Effect.map(current, ({ entries }) => ({
        items: entries.length,
        unitsPerItem: 1 / (entries.length || 1)
      })),
      list: (task, checkpoint) => {
        const seen = Option.getOrElse(checkpoint, () => ({}))
        const pages = Effect.map(call("feed", 1, read(network, url, seen)), (feed) => {
          const listed = feed.entries.filter(({ content }) => Idem.inWindow(task, content.occurredAt))
          // Only after the last page has the feed been read.
          return Arr.chunksOf(listed, 500).map((page, index, { length }) => ({
            listed: page,
            checkpoint: index === length - 1 ? feed.checkpoint : seen
          }))
        })
        return Stream.mapEffect(Stream.fromIterableEffect(pages), (page) =>
          Effect.map(Idem.ContentExistenceChecker.selectNew(task, page.listed, { by: "revision" }), (download) => ({
            ...page,
            download
          }))
        )
      },
      download: Effect.fnUntraced(function* ({ externalId }) {
        const found = (yield* current).entries.find((one) => one.externalId === externalId)
        if (found !== undefined) return found.content
        const reason = new Idem.Gone({ message: `${externalId} is no longer in the feed` })
        return yield* new Idem.IntegrationError({ reason })
      })
    }
  })
})
