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
import { isOfMailbox } from "./Mailboxes.ts"

type Pages = Stream.Stream<ImapPage, ListingError, ContentExistenceChecker>

const partsOf = Effect.fnUntraced(function* (parts: Parts<Part>, keys: ReadonlyArray<string>) {
  const found = new Map<string, Part>()
  for (const some of chunksOf(keys, maxParts)) for (const [key, part] of yield* parts.get(some)) found.set(key, part)
  return found
})

export const list = (
  source: Source,
  task: SyncTask,
  checkpoint: Option.Option<Checkpoint>,
  parts: Parts<Part>
): Pages => (idsOnly(task) ? Stream.empty : Stream.unwrap(open(source, task, Option.getOrUndefined(checkpoint), parts)))

const open = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  from: Checkpoint | undefined,
  parts: Parts<Part>
): Effect.fn.Return<Pages, ListingError> {
  const { client } = source
  const live = isLive(task)
  const now = yield* Clock.currentTimeMillis
  let checkpoint: Checkpoint = from ?? { pass: now, open: true, whole: true, directory: 0 }
  if (!live && !checkpoint.open) return Stream.empty
  const selection = yield* Mailboxes.list(client, source.choice)
  const directoryKeys = Array.from({ length: checkpoint.directory }, (_, index) => directoryKey(index))
  const known = yield* partsOf(parts, [...selection.mailboxes.map(({ name }) => name), ...directoryKeys])
  const directory = new PrefixIndex(directoryKeys.map((key) => known.get(key)))
  const partOf = (name: string): MailboxPart | undefined => {
    const part = known.get(name)
    return isMailbox(part) ? part : undefined
  }

  /** Mailboxes that turned out to have new UIDs when they were opened. */
  const renumbered = new Set<string>()
  /** The prefixes of mailboxes that were found empty twice, by mailbox. */
  const emptied = new Map<string, string>()
  const isPassBegun = checkpoint.open
  /** Mailboxes whose messages are not all known. */
  const unread = new Set<string>()

  const isListed = ({ name, status }: Mailboxes.Mailbox): boolean => {
    const part = partOf(name)
    return (
      part !== undefined &&
      !renumbered.has(name) &&
      (status.validity === undefined || status.validity === part.validity)
    )
  }

  const makePage = (page: Partial<ImapPage>): ImapPage => ({ listed: [], download: [], ...page, checkpoint })

  /**
   * Emits the pages of a mailbox. If the mailbox fails, that is a problem of this mailbox only, which `failed` records.
   */
  const pagesOf = (
    { name }: Mailboxes.Mailbox,
    steps: Steps,
    pageOf: (step: Step) => Partial<ImapPage>,
    failed: () => Partial<ImapPage>
  ): Pages =>
    steps.pipe(
      Stream.flatMap((step): Pages => {
        const { page, part, turned } = step
        if (turned === "renumbered") renumbered.add(name)
        // A pass that an earlier slice began does not cover what was stored since then. The mailbox stays doubted, and
        // the poll after that pass finds it empty again.
        if (turned === "emptied" && !isPassBegun) emptied.set(name, Names.prefix(name, part.validity))
        if (page === undefined) return Stream.empty
        known.set(name, part)
        const { parts: moves = [], ...rest } = pageOf(step)
        const parts = [{ key: name, checkpoint: part }, ...moves]
        return Stream.succeed(makePage({ ...page, ...rest, parts }))
      }),
      Stream.catchIf(
        (error) => error._tag === "IntegrationError" && isOfMailbox(error),
        (error) => {
          const isGone = error._tag === "IntegrationError" && error.reason._tag === "Gone"
          // A mailbox that was removed after LIST is not listed again.
          const isThere = isGone
            ? Effect.map(Mailboxes.names(client), ({ paths }) => paths.has(name))
            : Effect.succeed(true)
          return Stream.fromEffect(
            Effect.map(isThere, (isThere) => {
              const problems = isThere ? [{ place: name, message: error.message }] : []
              return makePage({ problems, ...failed() })
            })
          )
        }
      )
    )

  /**
   * A message under an id of another one is shown to the open pass, which would otherwise delete it. Pages of a pass
   * end the changes, and with them the deletions that are judged together: such mailboxes come after the others.
   */
  const isShownToPass = ({ name }: Mailboxes.Mailbox) => checkpoint.open && partOf(name)?.anew !== undefined

  const changes = (mailbox: Mailboxes.Mailbox): Pages => {
    const part = partOf(mailbox.name)
    if (part === undefined || !isListed(mailbox) || isIdle(mailbox, part, now)) return Stream.empty
    return pagesOf(
      mailbox,
      Changes.read({ source, task, mailbox, before: part, isPassOpen: checkpoint.open }),
      () => (checkpoint.open && part.anew !== undefined ? passName() : {}),
      () => ({})
    )
  }

  const passName = () => (live ? { listing: `pass ${checkpoint.pass}` } : {})

  /** Lists a mailbox, or continues its listing. `later` is the number of messages in the mailboxes after it. */
  const listMailbox = (mailbox: Mailboxes.Mailbox, later: number): Pages => {
    const { name } = mailbox
    const { pass, whole } = checkpoint
    return pagesOf(
      mailbox,
      MailboxListing.read({ source, task, mailbox, before: partOf(name), pass, isWhole: whole }),
      ({ page, part }) => {
        const parts = directory.add(Names.prefix(name, part.validity), pass)
        checkpoint = { ...checkpoint, directory: directory.size }
        return { ...passName(), parts, ...(page?.remaining === undefined ? {} : { remaining: later + page.remaining }) }
      },
      () => {
        unread.add(name)
        return passName()
      }
    )
  }

  const current = new Map(selection.mailboxes.map((mailbox) => [mailbox.name, mailbox]))

  /** Returns whether the server no longer has messages of this mailbox and UIDVALIDITY, or why that is unclear. */
  const isGone = ({ mailbox: name, validity }: { readonly mailbox: string; readonly validity: string }) => {
    const mailbox = current.get(name)
    if (mailbox !== undefined) {
      const present = isListed(mailbox) ? partOf(name)?.validity : mailbox.status.validity
      return Effect.succeed(renumbered.has(name) || (present !== undefined && present !== validity))
    }
    if (selection.others.has(name)) return Effect.succeed(true)
    // The mailbox is not in the list. It counts as gone only if it can't be opened either.
    return client.examine(Names.decode(name, selection.separator)).pipe(
      Effect.map(() => "the server does not list it any more, and opens it"),
      Effect.catchReason("IntegrationError", "Gone", () => Effect.succeed(true)),
      Effect.catchIf(isOfMailbox, (error) => Effect.succeed(error.message))
    )
  }

  /** Returns the prefixes of ids whose messages the server no longer has. */
  const vanished = Effect.gen(function* () {
    const gone: Array<string> = []
    const problems: Array<Problem> = []
    for (const [prefix, pass] of live ? directory.prefixes : []) {
      const place = Names.parsePrefix(prefix)
      if (place === undefined || (checkpoint.open && pass === checkpoint.pass)) continue
      const answer = yield* isGone(place)
      if (answer === true) gone.push(prefix)
      else if (answer !== false) problems.push({ place: place.mailbox, message: answer })
    }
    return { gone, problems }
  })

  /** Ends the pass: covers the prefixes without messages, and the mailboxes that were listed again. */
  const endPass = (gone: ReadonlyArray<string>, problems: ReadonlyArray<Problem>): ImapPage => {
    const isCertain = (name: string) => !unread.has(name) && partOf(name)?.doubted !== true
    const isRewound = (name: string) => partOf(name)?.anew === "rewound"
    const names = selection.mailboxes.map(({ name }) => name)
    const anew = names.flatMap((name) => {
      const part = partOf(name)
      return part?.anew === "differs" && part.below === undefined && isCertain(name) ? [{ name, part }] : []
    })
    const absent = [...gone, ...emptied.values(), ...anew.map(({ name, part }) => Names.prefix(name, part.validity))]
    const present = directory.prefixes.map(([prefix]) => prefix).filter((prefix) => !absent.includes(prefix))
    const uncertain = names.filter((name) => !isCertain(name) || isRewound(name))
    const covers = checkpoint.whole
      ? [{ prefix: "", except: uncertain.map((name) => `${name}/`) }]
      : absent.map((prefix) => ({ prefix, except: present.filter((other) => other.startsWith(prefix)) }))
    const certain = [...emptied.keys()].flatMap((name): ReadonlyArray<Move> => {
      const part = partOf(name)
      if (part === undefined) return []
      const { doubted: _, ...checkpoint } = part
      return [{ key: name, checkpoint }]
    })
    const listedAgain = anew.map(({ name, part: { anew: __, ...checkpoint } }): Move => ({ key: name, checkpoint }))
    const parts = [...directory.remove(gone), ...certain, ...listedAgain]
    checkpoint = { ...checkpoint, open: false, whole: false, directory: directory.size }
    return makePage({ problems, remaining: 0, ...(live ? { ...passName(), covers, complete: true } : {}), parts })
  }

  const pass = Effect.gen(function* () {
    const todo = selection.mailboxes.filter(
      (mailbox) => !isListed(mailbox) || partOf(mailbox.name)?.below !== undefined
    )
    const { gone, problems } = yield* vanished
    if (!checkpoint.open && todo.length === 0 && gone.length === 0 && emptied.size === 0) {
      return problems.length === 0 ? Stream.empty : Stream.succeed(makePage({ problems }))
    }
    if (!checkpoint.open) {
      checkpoint = { ...checkpoint, pass: Math.max(now, checkpoint.pass + 1), open: true, whole: false }
    }
    const mailboxes = Stream.fromIterable(todo.entries()).pipe(
      Stream.flatMap(([index, mailbox]) => {
        const later = todo.slice(index + 1).reduce((sum, { status }) => sum + (status.messages ?? 0), 0)
        return listMailbox(mailbox, later)
      })
    )
    return Stream.concat(
      mailboxes,
      Stream.sync(() => endPass(gone, problems))
    )
  }).pipe(Stream.unwrap)

  const notes =
    selection.problems.length === 0 ? Stream.empty : Stream.sync(() => makePage({ problems: selection.problems }))
  const inOrder = selection.mailboxes.toSorted((a, b) => Number(isShownToPass(a)) - Number(isShownToPass(b)))
  const changed = live ? Stream.flatMap(Stream.fromIterable(inOrder), changes) : Stream.empty
  return Stream.concat(notes, Stream.concat(changed, pass))
})
