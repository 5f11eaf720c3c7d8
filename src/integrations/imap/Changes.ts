/**
 * Lists the changes in a mailbox that was listed before: new messages first, then changed flags and deleted messages.
 *
 * - With QRESYNC (RFC 7162) the server reports changed flags and deleted UIDs since the mod-sequence of the last poll.
 * - With CONDSTORE alone the server reports changed flags.
 * - Without either, the flags and UIDs of all messages are read if STATUS shows a change, and once an hour.
 *
 * A part stores the number of known messages. If the server has another number after the changes, or has assigned a UID
 * to a message that was not shown, all UIDs are read and compared (UidDigests.ts): unknown messages are listed, and
 * known ones that are absent are deleted. The mailbox is settled once both numbers agree; until then the part does not
 * move past the last UID that was seen.
 *
 * If the UIDVALIDITY changed, all UIDs are new: nothing is compared, and Listing.ts lists the mailbox as a new one.
 *
 * In two cases a mailbox is listed again (MailboxListing.ts) instead of compared:
 *
 * - if its UIDs are so sparse, or so many, that the comparison of one block would not end within a slice;
 * - if UIDNEXT decreased under the same UIDVALIDITY: the mailbox was restored from a backup, or the server continues
 *   from the highest remaining UID. RFC 3501 (2.3.1.1) forbids this, because UIDs are then assigned twice.
 *
 * The stored mod-sequence is that of the opened mailbox, before anything was read: changes during the poll are read by
 * the next one. A part moves with each page, so that the next slice continues an interrupted one.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Patch } from "../../contract/Page.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import * as UidDigests from "./UidDigests.ts"
import { listedAnew, type MailboxPart } from "./Checkpoint.ts"
import type { Opened } from "./Client.ts"
import * as MessageContent from "./MessageContent.ts"
import type { Mailbox } from "./Mailboxes.ts"
import { changes, details, type Marks, marks, type Place, uids, unreadable } from "./Messages.ts"
import {
  chunksOf,
  endOf,
  idOf,
  listed,
  maxAsked,
  pageSize,
  type ListingError,
  type Source,
  type Step
} from "./ListingPages.ts"

interface Options {
  readonly source: Source
  readonly task: SyncTask
  readonly mailbox: Mailbox
  /** The part of the mailbox at the beginning of this poll. */
  readonly before: MailboxPart
  /** True during a pass, which completes mailboxes that are listed again. */
  readonly isPassOpen: boolean
}

/** A mailbox that was opened to read its changes. */
interface OpenMailbox extends Options {
  readonly opened: Opened
  readonly place: Place
}

/** The state after a step. */
interface State extends Step {
  /** The opened mailbox, once its number of messages agrees with the part. */
  readonly settled?: Opened
  /** True if the mailbox was found empty twice. */
  readonly isEmptied?: boolean
}

type States = Stream.Stream<State, ListingError, ContentExistenceChecker>

/** Runs stages one after the other, each from the state in which the previous one ended. */
const inSequence = (begin: State, stages: ReadonlyArray<(from: State) => States>): States => {
  let state = begin
  return Stream.fromIterable(stages, { chunkSize: 1 }).pipe(
    Stream.flatMap((stage) => Stream.map(stage(state), (next) => (state = next)))
  )
}

/**
 * The most UIDs of a block that are compared: 17 pages. A slice has 20, and the next one begins an unfinished block
 * again.
 */
const maxCompared = 17 * maxAsked

const patchOf = (place: Place, message: Marks): Patch => ({
  externalId: idOf(place, message.uid),
  metadata: MessageContent.marks(message)
})

/** Makes a page that lists these messages. */
const list = Effect.fnUntraced(function* ({ before, place, source, task }: OpenMailbox, chunk: ReadonlyArray<number>) {
  const found = yield* details(source.client, place, chunk)
  return yield* listed(
    source,
    before.anew === undefined ? task : { ...task, forceIds: chunk.map((uid) => idOf(place, uid)) },
    place,
    chunk.map((uid) => found.get(uid) ?? unreadable(uid)),
    true
  )
})

const newMessages = Effect.fnUntraced(function* (mailbox: OpenMailbox, part: MailboxPart) {
  const found = yield* uids(mailbox.source.client, mailbox.place, part.next, endOf(mailbox.opened))
  return Stream.fromIterable(chunksOf(found, pageSize).entries()).pipe(
    Stream.mapEffect(([index, chunk]) =>
      Effect.map(list(mailbox, chunk), (page): State => {
        const messages = part.messages + index * pageSize + chunk.length
        return { part: { ...part, next: (chunk.at(-1) ?? 0) + 1, messages }, page }
      })
    )
  )
}, Stream.unwrap)

/** Emits changed flags and, with QRESYNC, deleted UIDs, in the order of UIDs. */
const events = Effect.fnUntraced(function* (
  { before, opened, place, source }: OpenMailbox,
  part: MailboxPart,
  modseq: string
) {
  const { read: _, ...rest } = part
  const until = before.read?.until ?? String(opened.modseq)
  const range = { from: (before.read?.uid ?? 0) + 1, to: before.next, modseq }
  const { changed, vanished } = yield* changes(source.client, place, range)
  const found: ReadonlyArray<{ readonly uid: number; readonly marks?: Marks }> = [
    ...changed.map((marks) => ({ uid: marks.uid, marks })),
    ...vanished.map((uid) => ({ uid }))
  ].toSorted((a, b) => a.uid - b.uid)
  let { messages } = part
  const pages = chunksOf(found, maxAsked).map((chunk): State => {
    const deleted = chunk.filter(({ marks }) => marks === undefined).map(({ uid }) => idOf(place, uid))
    const patches = chunk.flatMap(({ marks }) => (marks === undefined ? [] : [patchOf(place, marks)]))
    messages = Math.max(0, messages - deleted.length)
    const read = { uid: chunk.at(-1)?.uid ?? 0, until }
    return { part: { ...part, messages, read }, page: { patches, deleted } }
  })
  return Stream.fromIterable([...pages, { part: { ...rest, messages, modseq: until } }])
}, Stream.unwrap)

type Seen = UidDigests.Seen & Partial<Marks>

/** The UIDs of one page to compare. */
interface Comparison {
  readonly range: UidDigests.Range
  readonly present: ReadonlyArray<Seen>
  readonly differs: { readonly uids: boolean; readonly flags: boolean }
  /** The part once all of it is committed. */
  readonly after: MailboxPart
}

/** Compares the UIDs of one range with the known ones, and patches the flags of its messages if they are wanted. */
const compareRange = Effect.fnUntraced(function* (
  mailbox: OpenMailbox,
  part: MailboxPart,
  { after, differs, present, range: { from, to } }: Comparison
) {
  const { place } = mailbox
  const there = new Set(present.map(({ uid }) => idOf(place, uid)))
  const asked = differs.uids ? Array.from({ length: to - from }, (_, index) => idOf(place, from + index)) : []
  const checker = yield* ContentExistenceChecker
  const known = asked.length === 0 ? there : yield* checker.existing(asked)
  const unknown = present.map(({ uid }) => uid).filter((uid) => !known.has(idOf(place, uid)))
  const chunks = chunksOf(unknown, pageSize)
  const first: State = {
    part: chunks.length === 0 ? after : part,
    page: {
      deleted: asked.filter((id) => known.has(id) && !there.has(id)),
      patches: differs.flags ? present.map(({ flags = [], labels, uid }) => patchOf(place, { uid, flags, labels })) : []
    }
  }
  const rest = Stream.fromIterable(chunks.entries()).pipe(
    Stream.mapEffect(([index, chunk]) =>
      Effect.map(list(mailbox, chunk), (page) => ({ part: index === chunks.length - 1 ? after : part, page }))
    )
  )
  return Stream.concat(Stream.succeed(first), rest)
}, Stream.unwrap)

const readAll = (
  { place, source: { client } }: OpenMailbox,
  opened: Opened,
  withFlags: boolean
): Effect.Effect<ReadonlyArray<Seen>, ListingError> => {
  if (!withFlags) return Effect.map(uids(client, place, 1, endOf(opened)), (found) => found.map((uid) => ({ uid })))
  return opened.messages === 0 ? Effect.succeed([]) : marks(client, place, `1:${endOf(opened) - 1}`)
}

/** Reads all UIDs, and flags if they are wanted, and compares them with those of the last poll. */
const compare = Effect.fnUntraced(function* (mailbox: OpenMailbox, part: MailboxPart, withFlags: boolean) {
  const { opened, place, source } = mailbox
  let settled = opened
  let found = yield* readAll(mailbox, settled, withFlags)
  if (found.length !== settled.messages) {
    settled = yield* source.client.examine(place.path)
    found = yield* readAll(mailbox, settled, withFlags)
  }
  if (found.length !== settled.messages) {
    const seen = `the server listed ${found.length} of its ${settled.messages} messages`
    const message = `${seen}: nothing in it was taken for deleted`
    return Stream.succeed<State>({ part, page: { problems: [{ place: place.name, message }] } })
  }
  const isEmptied = found.length === 0 && part.messages > 0
  if (isEmptied && part.doubted !== true) {
    return Stream.succeed<State>({ part: { ...part, doubted: true }, page: {} })
  }
  const next = Math.max(part.next, settled.next, (found.at(-1)?.uid ?? 0) + 1)
  const blocks = found.length === 0 ? [] : UidDigests.blocksOf(found, next)
  const now = UidDigests.digestsOf(blocks, next, withFlags)
  const walked = yield* Clock.currentTimeMillis
  const differing = blocks
    .map((block) => ({ block, differs: UidDigests.differences(block, part.blocks, now) }))
    .filter(({ differs }) => differs.uids || differs.flags)
  const isLarge = differing.some(
    ({ block, differs }) => (differs.uids ? block.to - block.from : block.messages.length) > maxCompared
  )
  const stages = (isLarge ? [] : differing).flatMap(({ block, differs }) => {
    const ranges = [...UidDigests.rangesOf(block, differs.uids)]
    const done = { ...part, blocks: UidDigests.upTo(block.index, part.blocks, now) }
    return ranges.map((range, index) => (from: State) => {
      const present = block.messages.filter(({ uid }) => uid >= range.from && uid < range.to)
      const after = index === ranges.length - 1 ? done : from.part
      return compareRange(mailbox, from.part, { range, present, differs, after })
    })
  })
  const { modseq: _, read: __, ...rest } = part
  const modseq = withFlags && opened.modseq !== undefined ? { modseq: String(opened.modseq) } : {}
  const compared = { ...(withFlags ? rest : part), ...modseq, walked, messages: found.length }
  const end = isLarge ? listedAnew(compared, "differs") : { ...compared, blocks: now }
  return Stream.concat(inSequence({ part }, stages), Stream.succeed<State>({ part: end, settled, isEmptied }))
}, Stream.unwrap)

/** Compares if the part and the server disagree. A mailbox that is not listed completely is compared later. */
const settle = (mailbox: OpenMailbox, part: MailboxPart, how: { hasQresync: boolean; withFlags: boolean }): States => {
  const { opened } = mailbox
  if (part.below !== undefined) return Stream.empty
  // Deletions that the server does not report may hide that a new message was not shown.
  const isSeen = how.hasQresync || part.next >= opened.next
  if (how.withFlags || part.messages !== opened.messages || !isSeen) return compare(mailbox, part, how.withFlags)
  return Stream.succeed({ part, settled: opened })
}

/** Moves the part to the end of a settled mailbox. */
const finish = ({ before, mailbox, opened }: OpenMailbox, { isEmptied, part, settled }: State): States => {
  const { next, unseen } = mailbox.status
  const { doubted, ...rest } = part
  const last: MailboxPart =
    settled === undefined
      ? part
      : {
          ...rest,
          // Old servers report UIDNEXT only in STATUS.
          next: Math.max(part.next, settled.next > 0 ? settled.next : (next ?? 0)),
          ...(unseen === undefined ? {} : { unseen }),
          // Kept until a pass has covered the empty mailbox.
          ...(doubted === true && settled.messages === 0 ? { doubted } : {})
        }
  const isStillEmpty = before.doubted === true && opened.messages === 0 && before.messages === 0
  return Stream.fromIterable<State>([
    ...(JSON.stringify(last) === JSON.stringify(before) ? [] : [{ part: last, page: {} }]),
    ...(isEmptied === true || isStillEmpty ? [{ part: last, turned: "emptied" } as const] : [])
  ])
}

/** Begins to list the mailbox again. */
const listAgain = ({ opened }: OpenMailbox, part: MailboxPart, anew: NonNullable<MailboxPart["anew"]>): States => {
  const { modseq: _, ...rest } = part
  const modseq = opened.modseq === undefined ? {} : { modseq: String(opened.modseq) }
  const now = { ...rest, ...modseq, next: opened.next > 0 ? opened.next : part.next, messages: opened.messages }
  return Stream.succeed({ part: listedAnew(now, anew), page: {} })
}

export const read = Effect.fnUntraced(function* (options: Options) {
  const { before, isPassOpen, mailbox, source } = options
  const { name, path } = mailbox
  const { qresync } = yield* source.client.capabilities
  const opened = yield* source.client.examine(path)
  if (opened.validity !== before.validity) return Stream.succeed<Step>({ part: before, turned: "renumbered" })
  const open: OpenMailbox = { ...options, opened, place: { name, path, validity: before.validity } }
  const first = ({ part }: State) => newMessages(open, part)
  const isRewound = opened.next > 0 && opened.next < before.next
  const isLeftOver = before.anew !== undefined && before.below === undefined && !isPassOpen
  if (isRewound || isLeftOver) {
    const anew = isRewound ? "rewound" : "differs"
    return inSequence({ part: before }, [first, ({ part }) => listAgain(open, part, anew)])
  }
  const { modseq } = before
  // If a server rebuilt its index, mod-sequences may begin lower: changes since the stored one are unknown.
  const isSilent = opened.modseq === undefined || modseq === undefined || opened.modseq < BigInt(modseq)
  const isChanged = !isSilent && (String(opened.modseq) !== modseq || before.read !== undefined)
  return inSequence({ part: before }, [
    first,
    ({ part }) => (isChanged ? events(open, part, modseq) : Stream.empty),
    ({ part }) => settle(open, part, { hasQresync: qresync, withFlags: isSilent }),
    (state) => finish(open, state)
  ])
}, Stream.unwrap)
