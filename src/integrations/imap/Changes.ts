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
  type Source,
  type Step,
  type Steps
} from "./ListingPages.ts"

interface Options {
  readonly source: Source
  readonly task: SyncTask
  readonly mailbox: Mailbox
  readonly part: MailboxPart
  /** True during a pass, which completes mailboxes that are listed again. */
  readonly isPassOpen: boolean
}

/** An event of a mailbox: changed flags, or a deletion. */
interface Event {
  readonly uid: number
  readonly marks?: Marks
}

/**
 * The most UIDs of a block that are compared: 17 pages. A slice has 20, and the next one begins an unfinished block
 * again.
 */
const maxCompared = 17 * maxAsked

export const read = ({ isPassOpen, mailbox, part: before, source, task }: Options): Steps => {
  const { client } = source
  const { name, path } = mailbox
  let part = before
  /** The mailbox when it was opened and its number of messages agreed with the part. */
  let settled: Opened | undefined
  /** True if the mailbox was found empty twice. */
  let isEmptied = false
  /** Makes a step with a page, after which the part is `next`. */
  const step = (next: MailboxPart, page: NonNullable<Step["page"]>): Step => {
    part = next
    return { part, page }
  }
  const place: Place = { name, path, validity: before.validity }
  const patchOf = (message: Marks): Patch => ({
    externalId: idOf(place, message.uid),
    metadata: MessageContent.marks(message)
  })

  /** Makes a page that lists these messages. */
  const list = Effect.fnUntraced(function* (chunk: ReadonlyArray<number>) {
    const found = yield* details(client, place, chunk)
    return yield* listed(
      source,
      before.anew === undefined ? task : { ...task, forceIds: chunk.map((uid) => idOf(place, uid)) },
      place,
      chunk.map((uid) => found.get(uid) ?? unreadable(uid)),
      true
    )
  })

  const newMessages = (opened: Opened): Steps =>
    Stream.unwrap(
      Effect.map(uids(client, place, before.next, endOf(opened)), (found) =>
        Stream.fromIterable(chunksOf(found, pageSize)).pipe(
          Stream.mapEffect((chunk) =>
            Effect.map(list(chunk), (given) =>
              step({ ...part, next: (chunk.at(-1) ?? 0) + 1, messages: part.messages + chunk.length }, given)
            )
          )
        )
      )
    )

  /** Emits changed flags and, with QRESYNC, deleted UIDs, in the order of UIDs. */
  const events = (opened: Opened, modseq: string): Steps =>
    Stream.unwrap(
      Effect.gen(function* () {
        const until = before.read?.until ?? String(opened.modseq)
        const range = { from: (before.read?.uid ?? 0) + 1, to: before.next, modseq }
        const { changed, vanished } = yield* changes(client, place, range)
        const found: Array<Event> = [
          ...changed.map((marks) => ({ uid: marks.uid, marks })),
          ...vanished.map((uid) => ({ uid }))
        ].toSorted((a, b) => a.uid - b.uid)
        const pages = Stream.fromIterable(chunksOf(found, maxAsked)).pipe(
          Stream.map((chunk) => {
            const deleted = chunk.filter(({ marks }) => marks === undefined).map(({ uid }) => idOf(place, uid))
            const patches = chunk.flatMap(({ marks }) => (marks === undefined ? [] : [patchOf(marks)]))
            const messages = Math.max(0, part.messages - deleted.length)
            return step({ ...part, messages, read: { uid: chunk.at(-1)?.uid ?? 0, until } }, { patches, deleted })
          })
        )
        const end = Stream.suspend((): Steps => {
          const { read: _, ...rest } = part
          part = { ...rest, modseq: until }
          return Stream.empty
        })
        return Stream.concat(pages, end)
      })
    )

  /** Compares the UIDs of one range with the known ones, and patches the flags of its messages if they are wanted. */
  const compareRange = (
    { messages }: UidDigests.Block<UidDigests.Seen & Partial<Marks>>,
    { from, to }: UidDigests.Range,
    differs: { readonly uids: boolean; readonly flags: boolean },
    next: MailboxPart | undefined
  ): Steps =>
    Stream.unwrap(
      Effect.gen(function* () {
        const present = messages.filter(({ uid }) => uid >= from && uid < to)
        const there = new Set(present.map(({ uid }) => idOf(place, uid)))
        const asked = differs.uids ? Array.from({ length: to - from }, (_, index) => idOf(place, from + index)) : []
        const checker = yield* ContentExistenceChecker
        const known = asked.length === 0 ? there : yield* checker.existing(asked)
        const missing = chunksOf(
          present.map(({ uid }) => uid).filter((uid) => !known.has(idOf(place, uid))),
          pageSize
        )
        const first = step(missing.length === 0 ? (next ?? part) : part, {
          deleted: asked.filter((id) => known.has(id) && !there.has(id)),
          patches: differs.flags ? present.map(({ flags = [], labels, uid }) => patchOf({ uid, flags, labels })) : []
        })
        const rest = Stream.fromIterable(missing.entries()).pipe(
          Stream.mapEffect(([index, chunk]) =>
            Effect.map(list(chunk), (given) => step(index === missing.length - 1 ? (next ?? part) : part, given))
          )
        )
        return Stream.concat(Stream.succeed(first), rest)
      })
    )

  const readAll = (opened: Opened, withFlags: boolean) =>
    withFlags
      ? opened.messages === 0
        ? Effect.succeed([])
        : marks(client, place, `1:${endOf(opened) - 1}`)
      : Effect.map(uids(client, place, 1, endOf(opened)), (found) => found.map((uid) => ({ uid })))

  /** Reads all UIDs, and flags if they are wanted, and compares them with those of the last poll. */
  const compare = (opened: Opened, withFlags: boolean): Steps =>
    Stream.unwrap(
      Effect.gen(function* () {
        let at = opened
        let found: ReadonlyArray<UidDigests.Seen & Partial<Marks>> = yield* readAll(at, withFlags)
        if (found.length !== at.messages) {
          at = yield* client.examine(path)
          found = yield* readAll(at, withFlags)
        }
        if (found.length !== at.messages) {
          const message = `the server listed ${found.length} of its ${at.messages} messages: nothing in it was taken for deleted`
          return Stream.succeed(step(part, { problems: [{ place: name, message }] }))
        }
        if (found.length === 0 && part.messages > 0) {
          if (part.doubted !== true) return Stream.succeed(step({ ...part, doubted: true }, {}))
          isEmptied = true
        }
        const next = Math.max(part.next, at.next, (found.at(-1)?.uid ?? 0) + 1)
        const blocks = found.length === 0 ? [] : UidDigests.blocksOf(found, next)
        const now = UidDigests.digestsOf(blocks, next, withFlags)
        const walked = yield* Clock.currentTimeMillis
        const isLarge = blocks.some((block) => {
          const differs = UidDigests.differences(block, before.blocks, now)
          const compared = differs.uids ? block.to - block.from : differs.flags ? block.messages.length : 0
          return compared > maxCompared
        })
        const compared = Stream.fromIterable(isLarge ? [] : blocks).pipe(
          Stream.flatMap((block): Steps => {
            const differs = UidDigests.differences(block, before.blocks, now)
            if (!differs.uids && !differs.flags) return Stream.empty
            return Stream.fromIterable(UidDigests.rangesOf(block, differs.uids), { chunkSize: 1 }).pipe(
              Stream.flatMap((range) => {
                const isLast = range.to >= (differs.uids ? block.to : (block.messages.at(-1)?.uid ?? 0) + 1)
                return Stream.suspend(() => {
                  const done = { ...part, blocks: UidDigests.upTo(block.index, part.blocks, now) }
                  return compareRange(block, range, differs, isLast ? done : undefined)
                })
              })
            )
          })
        )
        const end = Stream.suspend((): Steps => {
          const { modseq: _, read: __, ...rest } = part
          const read = withFlags && opened.modseq !== undefined ? { modseq: String(opened.modseq) } : {}
          const compared = { ...(withFlags ? rest : part), ...read, walked, messages: found.length }
          part = isLarge ? listedAnew(compared, "differs") : { ...compared, blocks: now }
          settled = at
          return Stream.empty
        })
        return Stream.concat(compared, end)
      })
    )

  /** Compares if the part and the server disagree. A mailbox that is not listed completely is compared later. */
  const settle = (opened: Opened, withFlags: boolean, hasQresync: boolean): Steps =>
    Stream.suspend((): Steps => {
      if (part.below !== undefined) return Stream.empty
      // Deletions that the server does not report may hide that a new message was not shown.
      const isSeen = hasQresync || part.next >= opened.next
      if (withFlags || part.messages !== opened.messages || !isSeen) return compare(opened, withFlags)
      settled = opened
      return Stream.empty
    })

  return Stream.unwrap(
    Effect.gen(function* () {
      const { qresync } = yield* client.capabilities
      const opened = yield* client.examine(path)
      if (opened.validity !== before.validity) return Stream.succeed<Step>({ part, turned: "renumbered" })
      const isRewound = opened.next > 0 && opened.next < before.next
      const isLeftOver = before.anew !== undefined && before.below === undefined && !isPassOpen
      if (isRewound || isLeftOver) {
        const anew = Stream.suspend((): Steps => {
          const { modseq: _, ...rest } = part
          const modseq = opened.modseq === undefined ? {} : { modseq: String(opened.modseq) }
          const now = { ...rest, ...modseq, next: opened.next > 0 ? opened.next : part.next, messages: opened.messages }
          return Stream.succeed(step(listedAnew(now, isRewound ? "rewound" : "differs"), {}))
        })
        return Stream.concat(newMessages(opened), anew)
      }
      const { modseq } = before
      // If a server rebuilt its index, mod-sequences may begin lower: changes since the stored one are unknown.
      const isSilent = opened.modseq === undefined || modseq === undefined || opened.modseq < BigInt(modseq)
      const told =
        !isSilent && (String(opened.modseq) !== modseq || before.read !== undefined)
          ? events(opened, modseq)
          : Stream.empty
      const end = Stream.suspend((): Steps => {
        if (before.doubted === true && opened.messages === 0 && before.messages === 0) isEmptied = true
        const { unseen } = mailbox.status
        const { doubted, ...rest } = part
        const last: MailboxPart =
          settled === undefined
            ? part
            : {
                ...rest,
                // Old servers report UIDNEXT only in STATUS.
                next: Math.max(part.next, settled.next > 0 ? settled.next : (mailbox.status.next ?? 0)),
                ...(unseen === undefined ? {} : { unseen }),
                // Kept until a pass has covered the empty mailbox.
                ...(doubted === true && settled.messages === 0 ? { doubted } : {})
              }
        const isMoved = JSON.stringify(last) !== JSON.stringify(before)
        return Stream.fromIterable<Step>([
          ...(isMoved ? [step(last, {})] : []),
          ...(isEmptied ? [{ part: last, turned: "emptied" } as const] : [])
        ])
      })
      const changed = Stream.concat(told, settle(opened, isSilent, qresync))
      return Stream.concat(newMessages(opened), Stream.concat(changed, end))
    })
  )
}
