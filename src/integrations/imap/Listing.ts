/**
 * Lists an account.
 *
 * 1. LIST and STATUS report the mailboxes, and which of them changed: one request if the server has LIST-STATUS. A poll
 *    without changes ends here.
 * 2. For mailboxes that were listed before, the changes are listed (Changes.ts).
 * 3. A pass lists the mailboxes that are not yet listed completely (MailboxListing.ts), INBOX first. The first pass
 *    covers everything. Later ones cover the prefixes that no longer have a mailbox: of a removed or renamed mailbox,
 *    and of an old UIDVALIDITY. They are covered after all messages were listed under their new ids, so that the engine
 *    can distinguish moved messages from deleted ones.
 *
 * Forced and windowed tasks make a pass of their own, which covers nothing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Problem } from "../../contract/Page.ts"
import { maxParts, type Parts } from "../../contract/Parts.ts"
import { idsOnly, isLive, type SyncTask } from "../../contract/SyncTask.ts"
import * as Changes from "./Changes.ts"
import {
  type Checkpoint,
  PrefixIndex,
  directoryKey,
  isIdle,
  isMailbox,
  type MailboxPart,
  type Move,
  type Part
} from "./Checkpoint.ts"
import * as Mailboxes from "./Mailboxes.ts"
import * as Names from "./Names.ts"
import * as MailboxListing from "./MailboxListing.ts"
import { chunksOf, type ImapPage, type ListingError, type Source, type Step, type Steps } from "./ListingPages.ts"

type Pages = Stream.Stream<ImapPage, ListingError, ContentExistenceChecker>

const partsOf = Effect.fnUntraced(function* (parts: Parts<Part>, keys: ReadonlyArray<string>) {
  const found = new Map<string, Part>()
  for (const some of chunksOf(keys, maxParts)) for (const [key, part] of yield* parts.get(some)) found.set(key, part)
  return found
})

/** The listing of an account. Its steps change it in order, while their pages are pulled. */
interface AccountListing {
  readonly source: Source
  readonly task: SyncTask
  readonly now: number
  readonly selection: Mailboxes.Selection
  readonly directory: PrefixIndex
  /** The parts, by key. */
  readonly known: Map<string, Part>
  /** Mailboxes that turned out to have new UIDs when they were opened. */
  readonly renumbered: Set<string>
  /** The prefixes of mailboxes that were found empty twice, by mailbox. */
  readonly emptied: Map<string, string>
  /** Mailboxes whose messages are not all known. */
  readonly unread: Set<string>
  /** True if an earlier slice began the pass. */
  readonly isPassBegun: boolean
  checkpoint: Checkpoint
}

const partOf = ({ known }: AccountListing, name: string): MailboxPart | undefined => {
  const part = known.get(name)
  return isMailbox(part) ? part : undefined
}

const isListed = (listing: AccountListing, { name, status }: Mailboxes.Mailbox): boolean => {
  const part = partOf(listing, name)
  return (
    part !== undefined &&
    !listing.renumbered.has(name) &&
    (status.validity === undefined || status.validity === part.validity)
  )
}

const makePage = ({ checkpoint }: AccountListing, page: Partial<ImapPage>): ImapPage => ({
  listed: [],
  download: [],
  ...page,
  checkpoint
})

/**
 * Emits the pages of a mailbox. If the mailbox fails, that is a problem of this mailbox only, which `failed` records.
 */
const pagesOf = (
  listing: AccountListing,
  { name }: Mailboxes.Mailbox,
  steps: Steps,
  pageOf: (step: Step) => Partial<ImapPage>,
  failed: () => Partial<ImapPage>
): Pages =>
  steps.pipe(
    Stream.flatMap((step): Pages => {
      const { page, part, turned } = step
      if (turned === "renumbered") listing.renumbered.add(name)
      // A pass that an earlier slice began misses what was stored since. The poll after the pass finds it empty again.
      if (turned === "emptied" && !listing.isPassBegun) listing.emptied.set(name, Names.prefix(name, part.validity))
      if (page === undefined) return Stream.empty
      listing.known.set(name, part)
      const { parts: moves = [], ...rest } = pageOf(step)
      const parts = [{ key: name, checkpoint: part }, ...moves]
      return Stream.succeed(makePage(listing, { ...page, ...rest, parts }))
    }),
    Stream.catchIf(
      (error) => error._tag === "IntegrationError" && Mailboxes.isOfMailbox(error),
      (error) => {
        const isGone = error._tag === "IntegrationError" && error.reason._tag === "Gone"
        // A mailbox that was removed after LIST is not listed again.
        const isThere = isGone
          ? Effect.map(Mailboxes.names(listing.source.client), ({ paths }) => paths.has(name))
          : Effect.succeed(true)
        return Stream.fromEffect(
          Effect.map(isThere, (isThere) => {
            const problems = isThere ? [{ place: name, message: error.message }] : []
            return makePage(listing, { problems, ...failed() })
          })
        )
      }
    )
  )

const passName = ({ checkpoint, task }: AccountListing) => (isLive(task) ? { listing: `pass ${checkpoint.pass}` } : {})

/** Lists the changes of a mailbox that was listed before. */
const changesOf = (listing: AccountListing, mailbox: Mailboxes.Mailbox): Pages => {
  const { checkpoint, now, source, task } = listing
  const part = partOf(listing, mailbox.name)
  if (part === undefined || !isListed(listing, mailbox) || isIdle(mailbox, part, now)) return Stream.empty
  return pagesOf(
    listing,
    mailbox,
    Changes.read({ source, task, mailbox, before: part, isPassOpen: checkpoint.open }),
    () => (listing.checkpoint.open && part.anew !== undefined ? passName(listing) : {}),
    () => ({})
  )
}

/** Lists a mailbox, or continues its listing. `later` is the number of messages in the mailboxes after it. */
const listMailbox = (listing: AccountListing, mailbox: Mailboxes.Mailbox, later: number): Pages => {
  const { directory, source, task } = listing
  const { name } = mailbox
  const { pass, whole } = listing.checkpoint
  return pagesOf(
    listing,
    mailbox,
    MailboxListing.read({ source, task, mailbox, before: partOf(listing, name), pass, isWhole: whole }),
    ({ page, part }) => {
      const parts = directory.add(Names.prefix(name, part.validity), pass)
      listing.checkpoint = { ...listing.checkpoint, directory: directory.size }
      const remaining = page?.remaining === undefined ? {} : { remaining: later + page.remaining }
      return { ...passName(listing), parts, ...remaining }
    },
    () => {
      listing.unread.add(name)
      return passName(listing)
    }
  )
}

/** Returns whether the server no longer has messages of this mailbox and UIDVALIDITY, or why that is unclear. */
const isGone = (
  listing: AccountListing,
  current: ReadonlyMap<string, Mailboxes.Mailbox>,
  { mailbox: name, validity }: { readonly mailbox: string; readonly validity: string }
) => {
  const { renumbered, selection, source } = listing
  const mailbox = current.get(name)
  if (mailbox !== undefined) {
    const present = isListed(listing, mailbox) ? partOf(listing, name)?.validity : mailbox.status.validity
    return Effect.succeed(renumbered.has(name) || (present !== undefined && present !== validity))
  }
  if (selection.others.has(name)) return Effect.succeed(true)
  // The mailbox is not in the list. It counts as gone only if it can't be opened either.
  return source.client.examine(Names.decode(name, selection.separator)).pipe(
    Effect.map(() => "the server does not list it any more, and opens it"),
    Effect.catchReason("IntegrationError", "Gone", () => Effect.succeed(true)),
    Effect.catchIf(Mailboxes.isOfMailbox, (error) => Effect.succeed(error.message))
  )
}

/** Returns the prefixes of ids whose messages the server no longer has. */
const vanishedPrefixes = Effect.fnUntraced(function* (listing: AccountListing) {
  const { checkpoint, directory, selection, task } = listing
  const current = new Map(selection.mailboxes.map((mailbox) => [mailbox.name, mailbox]))
  const gone: Array<string> = []
  const problems: Array<Problem> = []
  for (const [prefix, pass] of isLive(task) ? directory.prefixes : []) {
    const place = Names.parsePrefix(prefix)
    if (place === undefined || (checkpoint.open && pass === checkpoint.pass)) continue
    const answer = yield* isGone(listing, current, place)
    if (answer === true) gone.push(prefix)
    else if (answer !== false) problems.push({ place: place.mailbox, message: answer })
  }
  return { gone, problems }
})

/** Ends the pass: covers the prefixes without messages, and the mailboxes that were listed again. */
const endPass = (listing: AccountListing, gone: ReadonlyArray<string>, problems: ReadonlyArray<Problem>): ImapPage => {
  const { directory, emptied, selection, task, unread } = listing
  const isCertain = (name: string) => !unread.has(name) && partOf(listing, name)?.doubted !== true
  const isRewound = (name: string) => partOf(listing, name)?.anew === "rewound"
  const names = selection.mailboxes.map(({ name }) => name)
  const anew = names.flatMap((name) => {
    const part = partOf(listing, name)
    return part?.anew === "differs" && part.below === undefined && isCertain(name) ? [{ name, part }] : []
  })
  const absent = [...gone, ...emptied.values(), ...anew.map(({ name, part }) => Names.prefix(name, part.validity))]
  const present = directory.prefixes.map(([prefix]) => prefix).filter((prefix) => !absent.includes(prefix))
  const uncertain = names.filter((name) => !isCertain(name) || isRewound(name))
  const covers = listing.checkpoint.whole
    ? [{ prefix: "", except: uncertain.map((name) => `${name}/`) }]
    : absent.map((prefix) => ({ prefix, except: present.filter((other) => other.startsWith(prefix)) }))
  const certain = [...emptied.keys()].flatMap((name): ReadonlyArray<Move> => {
    const part = partOf(listing, name)
    if (part === undefined) return []
    const { doubted: _, ...checkpoint } = part
    return [{ key: name, checkpoint }]
  })
  const listedAgain = anew.map(({ name, part: { anew: __, ...checkpoint } }): Move => ({ key: name, checkpoint }))
  const parts = [...directory.remove(gone), ...certain, ...listedAgain]
  listing.checkpoint = { ...listing.checkpoint, open: false, whole: false, directory: directory.size }
  const ends = isLive(task) ? { ...passName(listing), covers, complete: true } : {}
  return makePage(listing, { problems, remaining: 0, ...ends, parts })
}

/** Lists the mailboxes that are not yet listed completely, and ends the pass. */
const passOf = Effect.fnUntraced(function* (listing: AccountListing): Effect.fn.Return<Pages, ListingError> {
  const { emptied, now, selection } = listing
  const todo = selection.mailboxes.filter(
    (mailbox) => !isListed(listing, mailbox) || partOf(listing, mailbox.name)?.below !== undefined
  )
  const { gone, problems } = yield* vanishedPrefixes(listing)
  if (!listing.checkpoint.open && todo.length === 0 && gone.length === 0 && emptied.size === 0) {
    return problems.length === 0 ? Stream.empty : Stream.succeed(makePage(listing, { problems }))
  }
  const { checkpoint } = listing
  if (!checkpoint.open) {
    listing.checkpoint = { ...checkpoint, pass: Math.max(now, checkpoint.pass + 1), open: true, whole: false }
  }
  const mailboxes = Stream.fromIterable(todo.entries()).pipe(
    Stream.flatMap(([index, mailbox]) => {
      const later = todo.slice(index + 1).reduce((sum, { status }) => sum + (status.messages ?? 0), 0)
      return listMailbox(listing, mailbox, later)
    })
  )
  return Stream.concat(
    mailboxes,
    Stream.sync(() => endPass(listing, gone, problems))
  )
})

const open = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  from: Checkpoint | undefined,
  parts: Parts<Part>
): Effect.fn.Return<Pages, ListingError> {
  const now = yield* Clock.currentTimeMillis
  const checkpoint: Checkpoint = from ?? { pass: now, open: true, whole: true, directory: 0 }
  if (!isLive(task) && !checkpoint.open) return Stream.empty
  const selection = yield* Mailboxes.list(source.client, source.choice)
  const directoryKeys = Array.from({ length: checkpoint.directory }, (_, index) => directoryKey(index))
  const known = yield* partsOf(parts, [...selection.mailboxes.map(({ name }) => name), ...directoryKeys])
  const directory = new PrefixIndex(directoryKeys.map((key) => known.get(key)))
  const listing: AccountListing = {
    source,
    task,
    now,
    selection,
    directory,
    known,
    renumbered: new Set(),
    emptied: new Map(),
    unread: new Set(),
    isPassBegun: checkpoint.open,
    checkpoint
  }
  const { mailboxes, problems } = selection
  const notes = problems.length === 0 ? Stream.empty : Stream.sync(() => makePage(listing, { problems }))
  // A message under an id of another one is shown to the open pass, which would otherwise delete it. Pages of a pass
  // end the changes, and with them the deletions that are judged together: such mailboxes come after the others.
  const order = ({ name }: Mailboxes.Mailbox) => Number(checkpoint.open && partOf(listing, name)?.anew !== undefined)
  const inOrder = mailboxes.toSorted((a, b) => order(a) - order(b))
  const changes = isLive(task)
    ? Stream.flatMap(Stream.fromIterable(inOrder), (mailbox) => changesOf(listing, mailbox))
    : Stream.empty
  return Stream.concat(notes, Stream.concat(changes, Stream.unwrap(Effect.suspend(() => passOf(listing)))))
})

export const list = (
  source: Source,
  task: SyncTask,
  checkpoint: Option.Option<Checkpoint>,
  parts: Parts<Part>
): Pages => (idsOnly(task) ? Stream.empty : Stream.unwrap(open(source, task, Option.getOrUndefined(checkpoint), parts)))
