/**
 * Reads the older documents of a feed, from the newest to the oldest, one request a document.
 *
 * - Archives (RFC 5005, 4) never change: each is read once. A part for each archive that was read stores the next older
 *   one, so that known archives are skipped without a request. An archive may have an older version of an entry than a
 *   newer document (RFC 5005, 4.2), so entries that are known stay unchanged.
 * - Pages (RFC 5005, 3, and JSON Feed) shift as entries are added. All pages are read once; after that, whenever the
 *   feed has changed, as many as bring new entries. If an entry is removed during that reading, another one may be
 *   missed.
 *
 * A walk reads at most `maxDocuments` documents, and detects cycles.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { Ref } from "../../contract/Content.ts"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError, Reason } from "../../contract/IntegrationError.ts"
import type { Problem } from "../../contract/Page.ts"
import type { PartMove, Parts } from "../../contract/Parts.ts"
import { inWindow, type SyncTask } from "../../contract/SyncTask.ts"
import { maxEntries, unpack } from "./EntryPages.ts"
import type { Older } from "./FeedLinks.ts"

/** The part of an archive that was read: the next older archive; null if no older one is left to read. */
export const Part = Schema.Struct({ older: Schema.NullOr(Schema.String) })
export type Part = typeof Part.Type

/** The position of a walk. */
const Walk = Schema.Struct({
  kind: Schema.Literals(["archive", "page"]),
  /** The document to read next. */
  at: Schema.String,
  /** The document to which the feed itself links. */
  first: Schema.String,
  /** How many documents the walk has read. */
  documents: Schema.Int,
  /** A document that the walk has read: in a cycle, the walk meets it again. */
  mark: Schema.optionalKey(Schema.String),
  /** For pages: a digest of the ids of the previous page. */
  before: Schema.optionalKey(Schema.String),
  /** How many entries of this document have been listed, if its listing was interrupted. */
  listed: Schema.optionalKey(Schema.Int),
  /** For pages: true if the walk ends at a page without new entries. */
  untilKnown: Schema.optionalKey(Schema.Boolean),
  /** For pages: true if the listed entries of this document had new ones among them. */
  isNew: Schema.optionalKey(Schema.Boolean),
  /** For pages: true if the feed has changed since the walk began. */
  isBehind: Schema.optionalKey(Schema.Boolean)
})
type Walk = typeof Walk.Type

/** The progress of reading older documents; `"read"` once all pages have been read. */
export const Progress = Schema.NullOr(Schema.Union([Walk, Schema.Literal("read")]))
export type Progress = typeof Progress.Type

export const isWalk = (progress: Progress | undefined): progress is Walk =>
  progress !== undefined && progress !== null && progress !== "read"

const maxDocuments = 10_000
/** Longer addresses are not followed, because a part is limited to 4 KiB. */
const maxAddress = 2_000

/** A document of a feed that was read, and the older one to which it links. */
interface Document {
  readonly pages: ReadonlyArray<Uint8Array>
  readonly older: Older | undefined
}

/** A page of a walk, and the progress once it is committed. */
interface Step {
  readonly listed: ReadonlyArray<Ref>
  readonly download: ReadonlyArray<Ref>
  readonly problems: ReadonlyArray<Problem>
  readonly parts: ReadonlyArray<PartMove<Part>>
  readonly progress: Progress
}

/** Reasons that concern one document only, which may be on another server than the feed. */
const ofOneDocument = new Set<Reason["_tag"]>([
  "Forbidden",
  "Gone",
  "Malformed",
  "TooLarge",
  "Transient",
  "Unauthorized"
])

const sha256 = (text: string): string => createHash("sha256").update(text).digest("base64url")
const keyOf = (address: string): string => `archive ${sha256(address)}`

/** Returns the first archive from this one on that was not read yet; undefined if all were. */
const unread = Effect.fnUntraced(function* (parts: Parts<Part>, from: string | undefined, passed = from) {
  const known = new Set([passed])
  let at = from
  for (let hops = 0; at !== undefined && hops < maxDocuments; hops++) {
    const key = keyOf(at)
    const part = (yield* parts.get([key])).get(key)
    if (part === undefined) return at
    at = part.older === null || known.has(part.older) ? undefined : part.older
    known.add(at)
  }
  return undefined
})

/**
 * Returns the parts to store once this document is read. At the end of the walk, no archive after its first one is
 * left.
 */
const movesOf = ({ at, first, kind }: Walk, older: Older | undefined, isEnd: boolean): Step["parts"] => {
  if (kind === "page") return []
  const ended = { key: keyOf(first), checkpoint: { older: null } }
  if (isEnd && at === first) return [ended]
  const read = { key: keyOf(at), checkpoint: { older: older?.kind === "archive" ? older.url : null } }
  return isEnd ? [read, ended] : [read]
}

/** Returns the progress after a changed feed links to this older document. */
export const begin = Effect.fnUntraced(function* (before: Progress, older: Older | undefined, parts: Parts<Part>) {
  if (older === undefined) return before
  const { kind, url: first } = older
  if (isWalk(before) && before.kind === kind) {
    // Pages that shift during a walk are read to the end; then the newest of them are read again.
    if (kind === "page") return { ...before, isBehind: true }
    if (before.first === first) return before
  }
  const at = kind === "page" ? first : yield* unread(parts, first)
  if (at === undefined) return null
  const walk: Walk = { kind, at, first, documents: 0 }
  return kind === "page" && before === "read" ? { ...walk, untilKnown: true } : walk
})

interface State {
  readonly walk: Walk
  /** True until the first document of this listing was read. */
  readonly isResumed: boolean
  /** The current document of the walk, while its entries are listed. */
  readonly document?: Document
}

/** Continues the walk at `from`. `isResumed` is true if an earlier listing began the walk. */
export const walk = (options: {
  readonly read: (address: string) => Effect.Effect<Document, IntegrationError>
  readonly task: SyncTask
  readonly parts: Parts<Part>
  readonly from: Walk
  readonly isResumed: boolean
  /** The ids that this slice of the listing has already listed, from newer documents. */
  readonly given: Set<string>
  /** True if earlier slices of this listing have listed ids too. */
  readonly isLaterSlice: boolean
}) => {
  const { given, isLaterSlice, parts, read, task } = options
  const end = (step: Partial<Step>) => {
    const ended: Step = {
      listed: [],
      download: [],
      problems: [],
      parts: [],
      progress: options.from.kind === "page" ? "read" : null,
      ...step
    }
    return [[ended], Option.none<State>()] as const
  }
  const problemAt = ({ documents }: Walk, message: string): Problem => ({
    place: `older entries, document ${documents + 1}`,
    message
  })

  /** Returns where the walk continues after the document whose last entries are `refs`; undefined at its end. */
  const following = Effect.fnUntraced(function* (
    at: Walk,
    { isNew, older }: { readonly isNew: boolean; readonly older: Document["older"] },
    refs: ReadonlyArray<Ref>
  ) {
    const stop = (problem?: string) => ({ next: undefined, problem })
    const named = older?.kind === at.kind ? older.url : undefined
    const url = at.kind === "archive" ? yield* unread(parts, named, at.at) : named
    const documents = at.documents + 1
    if (url === undefined) return stop()
    if (url.length > maxAddress) return stop("the address of the next document is too long")
    if (documents >= maxDocuments) return stop(`the listing ended here: it has read ${maxDocuments} documents`)
    // A mark is set at each power of two, so every cycle leads back to one (R. P. Brent, 1980).
    const mark = (documents & (documents - 1)) === 0 ? at.at : at.mark
    if (url === at.at || url === mark) return stop("it leads back to a document that was read before")
    const { isNew: _, listed: __, ...rest } = at
    const next: Walk = { ...rest, at: url, documents, ...(mark === undefined ? {} : { mark }) }
    if (at.kind === "archive") return { next, problem: undefined }
    const before = sha256(JSON.stringify(refs.map(({ externalId }) => externalId)))
    if (refs.length === 0 || (at.untilKnown === true && at.isBehind !== true && !isNew)) return stop()
    if (before === at.before) return stop("it has the same entries as the document before")
    return { next: { ...next, before }, problem: undefined }
  })

  /**
   * Leaves out entries of an archive that a newer document has already listed. `force` does not use the checker, so it
   * would store the archive's older version in place of the newer one. The ids listed by earlier slices are not stored:
   * a forced entry that is known under another revision counts as one of them.
   */
  const withoutOlder = Effect.fnUntraced(function* (listed: ReadonlyArray<Ref>) {
    const left = listed.filter(({ externalId }) => !given.has(externalId))
    if (!task.force || !isLaterSlice || left.length === 0) return left
    const checker = yield* ContentExistenceChecker
    const known = yield* checker.revisions(left.map(({ externalId }) => externalId))
    return left.filter(({ externalId, revision }) => {
      const stored = known.get(externalId)
      return stored === undefined || Option.getOrUndefined(stored) === revision
    })
  })

  const step = Effect.fnUntraced(function* (state: State) {
    const { isResumed, walk } = state
    const found = yield* Effect.result(state.document === undefined ? read(walk.at) : Effect.succeed(state.document))
    if (found._tag === "Failure") {
      const { message, reason } = found.failure
      if (!ofOneDocument.has(reason._tag)) return yield* Effect.fail(found.failure)
      // The last page does not exist (any more). A resumed position, however, may be one that the server no longer
      // knows.
      if (walk.kind === "page" && reason._tag === "Gone" && !isResumed) return end({})
      // Archives are requested again at each poll, and so are pages if the server gives no answer. Otherwise pages are
      // read again from the newest one, once the feed has changed.
      const left = walk.kind === "archive" || reason._tag === "Transient" ? walk : null
      return end({ problems: [problemAt(walk, message)], progress: left })
    }
    const document = found.success
    const index = Math.floor((walk.listed ?? 0) / maxEntries)
    const page = document.pages[index]
    const entries = page === undefined ? [] : unpack(page)
    const listed = entries.filter(({ content }) => inWindow(task, content.occurredAt))
    const newest = walk.kind === "page" ? listed : yield* withoutOlder(listed)
    for (const { externalId } of listed) given.add(externalId)
    const by = walk.kind === "page" ? "revision" : "id"
    const download = yield* ContentExistenceChecker.selectNew(task, newest, { by })
    const isNew = walk.isNew === true || download.length > 0
    const shown = { listed, download, problems: [], parts: [] }
    if (index < document.pages.length - 1) {
      const here = { ...walk, listed: (index + 1) * maxEntries, isNew }
      const state: State = { walk: here, isResumed: false, document }
      return [[{ ...shown, progress: here }], Option.some(state)] as const
    }
    const { next, problem } = yield* following(walk, { isNew, older: document.older }, entries)
    if (next !== undefined) {
      const step: Step = { ...shown, parts: movesOf(walk, document.older, false), progress: next }
      return [[step], Option.some<State>({ walk: next, isResumed: false })] as const
    }
    const problems = problem === undefined ? [] : [problemAt(walk, problem)]
    return end({ listed, download, problems, parts: movesOf(walk, document.older, true) })
  })

  return Stream.paginate({ walk: options.from, isResumed: options.isResumed } as State, step)
}

/**
 * Returns the content of an entry in an older document; undefined if none has it. Reads all documents in the worst
 * case.
 */
export const find = Effect.fnUntraced(function* (
  read: (address: string) => Effect.Effect<Document, IntegrationError>,
  from: Older | undefined,
  externalId: string
) {
  const known = new Set<string>()
  let at = from
  while (at !== undefined && !known.has(at.url) && known.size < maxDocuments) {
    known.add(at.url)
    const { kind } = at
    const { older, pages }: Document = yield* read(at.url)
    for (const page of pages) {
      const found = unpack(page).find((entry) => entry.externalId === externalId)
      if (found !== undefined) return found.content
      yield* Effect.yieldNow
    }
    at = older?.kind === kind ? older : undefined
  }
  return undefined
})
