/**
 * Lists the mailboxes of an account, and selects those that a connection mirrors.
 *
 * By default, mailboxes that repeat messages of others, or contain discarded messages, are left out:
 *
 * - On Gmail only the mailbox of all mail (`\All`) is mirrored: it has each message once, with its labels. The other
 *   mailboxes are these labels. If it is hidden from IMAP, all mailboxes are mirrored.
 * - On other servers the virtual mailboxes `\All` and `\Flagged` (RFC 6154) are left out.
 * - `\Junk` and `\Trash` are left out, by the server's own attribute or, on servers without attributes, by their usual
 *   names. `includeSpamTrash` includes them.
 *
 * Mailboxes that match `mailboxes` in the config are always included. `exclude` takes precedence.
 */
import type { ListResponse } from "imapflow"
import picomatch from "picomatch"
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Problem } from "../../contract/Page.ts"
import * as Errors from "../server/Errors.ts"
import type { Client } from "./Client.ts"
import type { Capabilities } from "./Capabilities.ts"
import * as Names from "./Names.ts"

/** The response of STATUS for a mailbox. Fields that the server did not return are absent. */
interface Status {
  readonly validity?: string | undefined
  readonly next?: number | undefined
  readonly messages?: number | undefined
  readonly modseq?: string | undefined
  readonly unseen?: number | undefined
}

export interface Mailbox {
  /** The mailbox's name in external ids. */
  readonly name: string
  /** The mailbox's name in commands to the server. */
  readonly path: string
  readonly status: Status
}

/** Returns true for a failure of one mailbox, and not of the account or of the connection. */
export const isOfMailbox = (error: IntegrationError): boolean =>
  error instanceof Errors.ServerFailure || ["Gone", "Forbidden", "Malformed", "TooLarge"].includes(error.reason._tag)

/** Patterns of names: picomatch's patterns, or the name of a mailbox, or of one above it. */
export interface Choice {
  readonly mailboxes: ReadonlyArray<string>
  readonly exclude: ReadonlyArray<string>
  readonly includeSpamTrash: boolean
}

export interface Selection {
  /** The selected mailboxes: INBOX first, then by name. */
  readonly mailboxes: ReadonlyArray<Mailbox>
  /** The separator of the personal mailboxes. */
  readonly separator: string | null
  readonly problems: ReadonlyArray<Problem>
  /** Names of mailboxes that the server lists and the connection leaves out. */
  readonly others: ReadonlySet<string>
  /** Names of mailboxes that were left out although they have messages of their own. */
  readonly leftOut: ReadonlyArray<string>
}

/** Compares by the order in which mailboxes are listed. */
const compare = (a: string, b: string): number =>
  a === b ? 0 : a === "INBOX" ? -1 : b === "INBOX" ? 1 : a < b ? -1 : 1

const matcher = (patterns: ReadonlyArray<string>): ((name: string) => boolean) => {
  if (patterns.length === 0) return () => false
  const isGlob = picomatch([...patterns], { dot: true })
  // `[Gmail]` is a character class in a pattern, but also a mailbox name.
  return (name) => patterns.some((one) => name === one || name.startsWith(`${one}/`)) || isGlob(name)
}

const isFlagged = (entry: ListResponse, ...flags: ReadonlyArray<string>): boolean =>
  [...entry.flags].some((flag) => flags.some((one) => one.toLowerCase() === flag.toLowerCase()))

const isUse = (entry: ListResponse, ...uses: ReadonlyArray<string>): boolean =>
  entry.specialUse !== undefined && uses.includes(entry.specialUse)

/** Selects from a complete response to LIST. */
const select = (entries: ReadonlyArray<ListResponse>, choice: Choice, capabilities: Capabilities): Selection => {
  const problems: Array<Problem> = []
  const leftOut: Array<string> = []
  const wanted = matcher(choice.mailboxes)
  const excluded = matcher(choice.exclude)
  const isVirtual = (entry: ListResponse) =>
    entry.specialUseSource === "extension" && isUse(entry, "\\All", "\\Flagged")
  const allMail = capabilities.gmail
    ? entries.find((entry) => entry.specialUseSource === "extension" && isUse(entry, "\\All"))
    : undefined
  const isDefault = (entry: ListResponse, name: string): boolean => {
    if (isUse(entry, "\\Junk", "\\Trash")) {
      if (!choice.includeSpamTrash) leftOut.push(name)
      return choice.includeSpamTrash
    }
    return allMail === undefined ? !isVirtual(entry) : entry === allMail
  }
  const found = new Map<string, Mailbox>()
  const others = new Set<string>()
  const isWanted = (entry: ListResponse, name: string) =>
    !excluded(name) && (choice.mailboxes.length > 0 ? wanted(name) : isDefault(entry, name))
  for (const entry of entries) {
    if (isFlagged(entry, "\\Noselect", "\\NonExistent")) continue
    const name = Names.encode(entry.path, entry.delimiter)
    const problem = Names.problem(name)
    if (!isWanted(entry, name)) others.add(name)
    else if (problem !== undefined) problems.push({ place: name.slice(0, 200), message: problem })
    else if (found.has(name)) {
      problems.push({ place: name, message: "another mailbox has the same name, with another separator" })
    } else found.set(name, { name, path: entry.path, status: statusOf(entry.status) })
  }
  for (const pattern of choice.mailboxes) {
    const matches = matcher([pattern])
    if (![...found.keys()].some(matches)) {
      problems.push({ place: pattern, message: '"mailboxes" of the config names it, and the server does not list it' })
    }
  }
  return {
    mailboxes: [...found.values()].toSorted((a, b) => compare(a.name, b.name)),
    separator: separatorOf(entries),
    problems,
    others,
    leftOut
  }
}

const statusOf = (status: ListResponse["status"] | false): Status =>
  status === undefined || status === false
    ? {}
    : {
        validity: status.uidValidity === undefined ? undefined : String(status.uidValidity),
        next: status.uidNext,
        messages: status.messages,
        modseq: status.highestModseq === undefined ? undefined : String(status.highestModseq),
        unseen: status.unseen
      }

/** Fails for a listing without INBOX, because every account has one (RFC 3501, 5.1), so the listing is incomplete. */
const checked = (entries: ReadonlyArray<ListResponse>): Effect.Effect<ReadonlyArray<ListResponse>, IntegrationError> =>
  entries.some(({ path }) => path.toUpperCase() === "INBOX")
    ? Effect.succeed(entries)
    : Effect.fail(Errors.transient(`the server listed ${entries.length} mailboxes and no INBOX`))

/** Returns the separator of the personal mailboxes. */
const separatorOf = (entries: ReadonlyArray<ListResponse>): string | null =>
  entries.find(({ path }) => path === "INBOX")?.delimiter ?? entries[0]?.delimiter ?? null

/** Returns the server's names of all mailboxes, by the names in external ids. */
export const names = Effect.fnUntraced(function* (client: Client) {
  const entries = yield* client
    .request("LIST", "listing the mailboxes", ({ imap }) => imap.list({ listOnly: true }))
    .pipe(Effect.flatMap(checked))
  return {
    paths: new Map(entries.map(({ delimiter, path }) => [Names.encode(path, delimiter), path])),
    separator: separatorOf(entries)
  }
})

/**
 * Lists the mailboxes with their status: one request if the server has LIST-STATUS (RFC 5819), else one for each
 * mailbox.
 */
export const list = Effect.fnUntraced(function* (
  client: Client,
  choice: Choice
): Effect.fn.Return<Selection, IntegrationError> {
  const capabilities = yield* client.capabilities
  // Without mod-sequences, a change in the number of unread messages reveals many changes of flags.
  const query = {
    messages: true,
    uidNext: true,
    uidValidity: true,
    ...(capabilities.condstore ? { highestModseq: true } : { unseen: true })
  }
  const entries = yield* client
    .request("LIST", "listing the mailboxes", ({ imap }) =>
      imap.list(capabilities.listStatus ? { statusQuery: query } : {})
    )
    .pipe(Effect.flatMap(checked))
  const selection = select(entries, choice, capabilities)
  if (capabilities.listStatus) return selection
  const mailboxes = yield* Effect.forEach(selection.mailboxes, (mailbox) =>
    client
      .request("STATUS", `the status of ${Names.quote(mailbox.path)}`, ({ imap }) => imap.status(mailbox.path, query))
      .pipe(
        Effect.map((status) => ({ ...mailbox, status: statusOf(status) })),
        // If STATUS fails, opening the mailbox reports the reason.
        Effect.catchIf(isOfMailbox, () => Effect.succeed(mailbox))
      )
  )
  return { ...selection, mailboxes }
})
