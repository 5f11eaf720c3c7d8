/** The state that listing and downloading share, and pages for all kinds of listing. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Ref } from "../../contract/Content.ts"
import { ContentExistenceChecker, type ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import { inWindow, isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { Checkpoint, MailboxPart, Part } from "./Checkpoint.ts"
import type { Client, Opened } from "./Client.ts"
import type { Downloads } from "./Downloads.ts"
import * as MessageContent from "./MessageContent.ts"
import type { Choice } from "./Mailboxes.ts"
import { type Details, keys, type Place } from "./Messages.ts"
import * as Names from "./Names.ts"

export interface Source {
  readonly client: Client
  readonly downloads: Downloads
  readonly choice: Choice
}

export type ListingError = IntegrationError | ContentExistenceCheckerError

export type ImapPage = Page<Checkpoint, Part>

/** A step of the listing of a mailbox. */
export interface Step {
  /** The part of the mailbox once the page is committed. */
  readonly part: MailboxPart
  /** The content of the page. A step without it makes no page. */
  readonly page?: Pick<ImapPage, "deleted" | "problems" | "remaining"> &
    Partial<Pick<ImapPage, "listed" | "download" | "patches">>
  /** `renumbered`: the mailbox has new UIDs. `emptied`: it was found empty twice. */
  readonly turned?: "renumbered" | "emptied"
}

export type Steps = Stream.Stream<Step, ListingError, ContentExistenceChecker>

/** The most messages that one page lists, and the most UIDs for which one page asks the checker. */
export const pageSize = 500
export const maxAsked = 1_000

export const chunksOf = <A>(all: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))

export const idOf = ({ name, validity }: Place, uid: number): string => Names.format({ mailbox: name, validity, uid })

/** Returns an upper bound of the UIDs that the mailbox had when it was opened. Old servers do not report UIDNEXT. */
export const endOf = ({ next }: Opened): number => (next > 0 ? next : 4_294_967_296)

/**
 * Makes the refs of one page, and chooses those to download. Known messages get their flags by a patch. With `copies`,
 * new ones get the key by which the engine finds a message that was moved or copied.
 */
export const listed = Effect.fnUntraced(function* (
  { client, downloads }: Source,
  task: SyncTask,
  place: Place,
  messages: ReadonlyArray<Details>,
  copies: boolean
): Effect.fn.Return<
  Required<Pick<ImapPage, "listed" | "download" | "patches">>,
  ListingError,
  ContentExistenceChecker
> {
  const chosen = messages.filter((message) => inWindow(task, MessageContent.receivedAt(message)))
  const refs = chosen.map((message): Ref => ({ externalId: idOf(place, message.uid) }))
  const download = new Set((yield* ContentExistenceChecker.selectNew(task, refs)).map(({ externalId }) => externalId))
  const isNew = ({ uid }: Details) => download.has(idOf(place, uid))
  const fresh = chosen.filter(isNew)
  downloads.expect(place, fresh)
  const found = copies && fresh.length > 0 ? yield* keys(client, place, fresh) : new Map<number, string>()
  const refOf = (message: Details): Ref => {
    const bodyKey = found.get(message.uid)
    return {
      externalId: idOf(place, message.uid),
      ...(bodyKey === undefined
        ? {}
        : {
            copy: {
              bodyKey,
              metadata: MessageContent.placed(place.name, message),
              occurredAt: MessageContent.receivedAt(message)
            }
          })
    }
  }
  return {
    listed: refs,
    download: fresh.map(refOf),
    patches: isLive(task)
      ? chosen
          .filter((message) => !isNew(message) && message.size !== undefined)
          .map((message) => ({ externalId: idOf(place, message.uid), metadata: MessageContent.marks(message) }))
      : []
  }
})
