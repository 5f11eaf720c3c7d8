/** Lists all messages of a mailbox, newest first, or continues where an earlier slice ended. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { MailboxPart } from "./Checkpoint.ts"
import type { Mailbox } from "./Mailboxes.ts"
import { details, type Place, uids, unreadable } from "./Messages.ts"
import { chunksOf, endOf, idOf, listed, pageSize, type Source, type Step, type Steps } from "./ListingPages.ts"
import * as UidDigests from "./UidDigests.ts"

/** Returns the days of a SEARCH, with one more day on both sides: SEARCH compares dates without time and zone. */
const dayMillis = 86_400_000
const daysOf = ({ window }: SyncTask) => ({
  since: window?.since === undefined ? undefined : new Date(DateTime.toEpochMillis(window.since) - dayMillis),
  before: window?.until === undefined ? undefined : new Date(DateTime.toEpochMillis(window.until) + 2 * dayMillis)
})

interface Options {
  readonly source: Source
  readonly task: SyncTask
  readonly mailbox: Mailbox
  /** The part of the mailbox so far. */
  readonly before: MailboxPart | undefined
  /** The number of the pass, and whether it lists everything. */
  readonly pass: number
  readonly isWhole: boolean
}

export const read = ({ before, isWhole, mailbox, pass, source, task }: Options): Steps =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { client } = source
      const { name, path } = mailbox
      const live = isLive(task)
      const capabilities = yield* client.capabilities
      const examine = Effect.gen(function* () {
        const opened = yield* client.examine(path)
        const place: Place = { name, path, validity: opened.validity }
        return { opened, place, found: yield* uids(client, place, 1, endOf(opened), daysOf(task)) }
      })
      const isShort = ({ found, opened }: Effect.Success<typeof examine>) =>
        task.window === undefined && found.length < opened.messages
      const first = yield* examine
      const seen = isShort(first) ? yield* examine : first
      const isIncomplete = isShort(seen)
      const { found, opened, place } = seen
      const resumed = before?.below !== undefined && before.validity === opened.validity ? before : undefined
      const problems = isIncomplete
        ? [{ place: name, message: `the server listed ${found.length} of its ${opened.messages} messages` }]
        : []
      // A mailbox that is listed as empty may be one that could not be read.
      const isDoubted = live && (isIncomplete || (isWhole && found.length === 0))
      const doubted = isDoubted ? { doubted: true } : {}
      const next = opened.next > 0 ? opened.next : (found.at(-1) ?? 0) + 1
      const blocks = UidDigests.blocksOf(
        found.map((uid) => ({ uid })),
        next
      )
      const digests =
        live && found.length > 0 && capabilities.condstore && !capabilities.qresync
          ? { blocks: UidDigests.digestsOf(blocks, next, false) }
          : {}
      const begun = (): MailboxPart => ({
        validity: opened.validity,
        next,
        // If there are fewer messages than the server reports, the next poll compares the UIDs.
        messages: found.length,
        pass,
        ...(opened.modseq === undefined ? {} : { modseq: String(opened.modseq) }),
        ...(mailbox.status.unseen === undefined ? {} : { unseen: mailbox.status.unseen }),
        ...doubted,
        ...digests
      })
      /** All UIDs are read again: some messages that are now gone were counted when the listing began. */
      const goneOn = (from: MailboxPart): MailboxPart => {
        const { below: _, blocks, ...rest } = from
        return isIncomplete
          ? { ...rest, messages: found.filter((uid) => uid < rest.next).length, ...doubted }
          : { ...rest, ...(blocks === undefined ? {} : { blocks }) }
      }
      const part = resumed === undefined ? begun() : goneOn(resumed)
      // On servers without message ids, body keys cost one more request. A first listing does not need them: no message
      // that could be copied is stored yet.
      const isFirst = isWhole && part.anew === undefined
      const copies = live && (!isFirst || capabilities.gmail || capabilities.objectId)
      const forced = (chunk: ReadonlyArray<number>, place: Place) =>
        part.anew === "rewound" ? chunk.map((uid) => idOf(place, uid)) : task.forceIds
      const left = found.filter((uid) => uid < (resumed?.below ?? Number.POSITIVE_INFINITY))
      if (left.length === 0) return Stream.succeed<Step>({ part, page: { problems } })
      const chunks = chunksOf(left.toReversed(), pageSize)
      return Stream.fromIterable(chunks.entries()).pipe(
        Stream.mapEffect(
          Effect.fnUntraced(function* ([index, chunk]) {
            const answer = yield* details(client, place, chunk)
            const messages = chunk.map((uid) => answer.get(uid) ?? unreadable(uid))
            const given = yield* listed(source, { ...task, forceIds: forced(chunk, place) }, place, messages, copies)
            const step: Step = {
              part: index === chunks.length - 1 ? part : { ...part, below: chunk.at(-1) ?? 1 },
              page: {
                ...given,
                remaining: left.length - Math.min(left.length, (index + 1) * pageSize),
                ...(index === 0 ? { problems } : {})
              }
            }
            return step
          })
        )
      )
    })
  )
