/**
 * Lists the changes in a mailbox that was listed before: new messages first, then changed flags and deleted messages.
 *
 * - With QRESYNC (RFC 7162) the server reports changed flags and deleted UIDs since the mod-sequence of the last poll.
 * - With CONDSTORE alone the server reports changed flags. If there are fewer messages than the known and the new ones,
 *   some were deleted: then all UIDs are read and compared (UidDigests.ts).
 * - Without either, the flags and UIDs of all messages are read if STATUS shows a change, and once an hour.
 *
 * The stored mod-sequence is that of the opened mailbox, before anything was read: changes during the poll are read by
 * the next one. A part moves with each page, so that the next slice continues a slice that was cut off.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Patch } from "../../contract/Page.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import * as UidDigests from "./UidDigests.ts"
import type { Checkpoint, MailboxPart } from "./Checkpoint.ts"
import type { Opened } from "./Client.ts"
import * as Mail from "./Mail.ts"
import type { Mailbox } from "./Mailboxes.ts"
import { changes, details, type Marks, marks, type Place, uids, unreadable } from "./Messages.ts"
import {
  chunksOf,
  endOf,
  idOf,
  type ImapPage,
  isOfMailbox,
  type ListingError,
  listed,
  maxAsked,
  pageSize,
  type Source
} from "./ListingPages.ts"

/** How often flags are read of servers that do not tell changes. */
const walkMillis = 3_600_000

/** True where STATUS shows that nothing changed since the part was kept. */
export const isIdle = ({ status }: Mailbox, part: MailboxPart, now: number): boolean =>
  status.validity === part.validity &&
  status.next === part.next &&
  status.messages === part.messages &&
  part.read === undefined &&
  part.doubted !== true &&
  (part.modseq !== undefined && status.modseq !== undefined
    ? status.modseq === part.modseq
    : status.unseen === part.unseen && part.walked !== undefined && now - part.walked < walkMillis)

interface Options {
  readonly source: Source
  readonly task: SyncTask
  readonly mailbox: Mailbox
  readonly part: MailboxPart
  /** The checkpoint of the pages. */
  readonly checkpoint: () => Checkpoint
  /** Called where the mailbox has other UIDs now: it is listed anew. */
  readonly renumbered: () => void
  /** Called where the mailbox was found empty twice: what is stored of it is absent. */
  readonly emptied: () => void
}

type Pages = Stream.Stream<ImapPage, ListingError, ContentExistenceChecker>

/** An event of a mailbox: other flags, or a deletion. */
interface Event {
  readonly uid: number
  readonly marks?: Marks
}

export const read = ({ checkpoint, emptied, mailbox, part: before, renumbered, source, task }: Options): Pages => {
  const { client } = source
  const { name, path } = mailbox
  let part = before
  /** False where what was read does not agree with the number of messages. */
  let isCounted = true
  /** A page after which the mailbox stands at `next`. */
  const page = (next: MailboxPart, rest: Partial<ImapPage>): ImapPage => {
    part = next
    return { listed: [], download: [], ...rest, checkpoint: checkpoint(), parts: [{ key: name, checkpoint: next }] }
  }
  const place: Place = { name, path, validity: before.validity }
  const patchOf = (message: Marks): Patch => ({ externalId: idOf(place, message.uid), metadata: Mail.marks(message) })

  const newMessages = (opened: Opened): Pages =>
    Stream.unwrap(
      Effect.map(uids(client, place, before.next, endOf(opened)), (found) =>
        Stream.fromIterable(chunksOf(found, pageSize)).pipe(
          Stream.mapEffect(
            Effect.fnUntraced(function* (chunk) {
              const found = yield* details(client, place, chunk)
              const messages = chunk.map((uid) => found.get(uid) ?? unreadable(uid))
              const given = yield* listed(source, task, place, messages, true)
              const next = (chunk.at(-1) ?? 0) + 1
              return page({ ...part, next, messages: part.messages + messages.length }, given)
            })
          )
        )
      )
    )

  /** Flags that changed and, with QRESYNC, UIDs that were deleted, in the order of UIDs. */
  const tellingServer = (opened: Opened, modseq: string): Pages =>
    Stream.unwrap(
      Effect.gen(function* () {
        const until = before.read?.until ?? String(opened.modseq)
        const range = { from: (before.read?.uid ?? 0) + 1, to: before.next, modseq }
        const { changed, vanished } = yield* changes(client, place, range)
        const events: Array<Event> = [
          ...changed.map((marks) => ({ uid: marks.uid, marks })),
          ...(vanished ?? []).map((uid) => ({ uid }))
        ].toSorted((a, b) => a.uid - b.uid)
        const left = part.messages - (vanished?.length ?? 0)
        // A server that has forgotten what was deleted may tell too little. More UIDs than there were messages are
        // those of messages that nobody saw.
        const isTold =
          before.read !== undefined || left === opened.messages || (vanished !== undefined && left < opened.messages)
        const pages = Stream.fromIterable(chunksOf(events, maxAsked)).pipe(
          Stream.map((chunk) =>
            page(
              { ...part, read: { uid: chunk.at(-1)?.uid ?? 0, until } },
              {
                patches: chunk.flatMap(({ marks }) => (marks === undefined ? [] : [patchOf(marks)])),
                deleted: chunk.filter(({ marks }) => marks === undefined).map(({ uid }) => idOf(place, uid))
              }
            )
          )
        )
        const rest = Stream.suspend((): Pages => {
          const { read: _, ...unread } = part
          part = { ...unread, modseq: until }
          return isTold ? Stream.empty : silentServer(opened, false)
        })
        return Stream.concat(pages, rest)
      })
    )

  /** Reads all UIDs, and flags where they are wanted, and compares them with what the last poll read. */
  const silentServer = (opened: Opened, withFlags: boolean): Pages =>
    Stream.unwrap(
      Effect.gen(function* () {
        const next = endOf(opened)
        const found: ReadonlyArray<UidDigests.Seen & Partial<Marks>> = withFlags
          ? opened.messages === 0
            ? []
            : yield* marks(client, place, `1:${next - 1}`)
          : (yield* uids(client, place, 1, next)).map((uid) => ({ uid }))
        if (found.length !== opened.messages) {
          const again = yield* client.examine(path)
          if (found.length < again.messages) {
            isCounted = false
            const message = `the server listed ${found.length} of its ${again.messages} messages: nothing in it was taken for deleted`
            return Stream.succeed(page(part, { problems: [{ place: name, message }] }))
          }
        }
        if (found.length === 0 && part.messages > 0) {
          if (part.doubted !== true) {
            isCounted = false
            return Stream.succeed(page({ ...part, doubted: true }, {}))
          }
          emptied()
        }
        const blocks = found.length === 0 ? [] : UidDigests.blocksOf(found, next)
        const now = UidDigests.digestsOf(blocks, next, withFlags)
        const walked = yield* Clock.currentTimeMillis
        const compared = Stream.fromIterable(blocks).pipe(
          Stream.flatMap((block): Pages => {
            const { flags, uids: isOther } = UidDigests.differences(block, before.blocks, now)
            const present = new Set(block.messages.map(({ uid }) => uid))
            const absent = isOther
              ? Array.from({ length: block.to - block.from }, (_, index) => block.from + index).filter(
                  (uid) => !present.has(uid)
                )
              : []
            const patches = flags
              ? block.messages.map(({ flags = [], labels, uid }) => patchOf({ uid, flags, labels }))
              : []
            const pieces = Math.max(Math.ceil(absent.length / maxAsked), Math.ceil(patches.length / maxAsked))
            return Stream.range(0, pieces - 1).pipe(
              Stream.mapEffect(
                Effect.fnUntraced(function* (piece) {
                  const asked = absent.slice(piece * maxAsked, (piece + 1) * maxAsked).map((uid) => idOf(place, uid))
                  const checker = yield* ContentExistenceChecker
                  const stored = asked.length === 0 ? new Set<string>() : yield* checker.existing(asked)
                  const isLast = piece === pieces - 1
                  return page(isLast ? { ...part, blocks: UidDigests.upTo(block.index, part.blocks, now) } : part, {
                    deleted: asked.filter((id) => stored.has(id)),
                    patches: patches.slice(piece * maxAsked, (piece + 1) * maxAsked)
                  })
                })
              )
            )
          })
        )
        const end = Stream.suspend((): Pages => {
          part = { ...part, blocks: now, walked, messages: found.length }
          return Stream.empty
        })
        return Stream.concat(compared, end)
      })
    )

  return Stream.unwrap(
    Effect.gen(function* () {
      const opened = yield* client.examine(path)
      if (opened.validity !== before.validity) {
        renumbered()
        return Stream.empty
      }
      if (before.doubted === true && opened.messages === 0 && before.messages === 0) emptied()
      const { modseq } = before
      const changed = Stream.suspend((): Pages => {
        if (opened.modseq === undefined || modseq === undefined) return silentServer(opened, true)
        if (String(opened.modseq) !== modseq || before.read !== undefined) return tellingServer(opened, modseq)
        return part.messages === opened.messages ? Stream.empty : silentServer(opened, false)
      })
      const end = Stream.suspend((): Pages => {
        const { unseen } = mailbox.status
        const { doubted, ...rest } = part
        const last: MailboxPart = {
          ...rest,
          next: Math.max(part.next, opened.next),
          // A number that does not fit lets the next poll look again.
          messages: isCounted ? opened.messages : part.messages,
          ...(opened.modseq !== undefined && part.modseq === undefined ? { modseq: String(opened.modseq) } : {}),
          ...(unseen === undefined ? {} : { unseen }),
          // Until a pass has covered the empty mailbox.
          ...(doubted === true && opened.messages === 0 ? { doubted } : {})
        }
        return JSON.stringify(last) === JSON.stringify(before) ? Stream.empty : Stream.succeed(page(last, {}))
      })
      return Stream.concat(newMessages(opened), Stream.concat(changed, end))
    })
  ).pipe(
    Stream.catchIf(
      (error) => error._tag === "IntegrationError" && isOfMailbox(error),
      (error) =>
        Stream.succeed<ImapPage>({
          listed: [],
          download: [],
          problems: [{ place: name, message: error.message }],
          checkpoint: checkpoint()
        })
    )
  )
}
