/** Makes requests about the messages of one mailbox, and reads the responses. */
import { createHash } from "node:crypto"
import type { FetchMessageObject, FetchQueryObject } from "imapflow"
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Errors from "../server/Errors.ts"
import { type Client, maxVanished } from "./Client.ts"
import * as Names from "./Names.ts"

/** A mailbox, and its UIDVALIDITY when it was opened. */
export interface Place {
  readonly name: string
  readonly path: string
  readonly validity: string
}

/** The metadata of a message apart from its body. */
export interface Marks {
  readonly uid: number
  /** The flags, sorted, without `\Recent`, which belongs to the session and not to the message. */
  readonly flags: ReadonlyArray<string>
  /** Gmail's labels, sorted. */
  readonly labels?: ReadonlyArray<string> | undefined
}

/** A message as it is listed. */
export interface Details extends Marks {
  /** RFC822.SIZE, which some servers only estimate. */
  readonly size: number | undefined
  /** INTERNALDATE in milliseconds since 1970. */
  readonly received: number | undefined
  /** EMAILID (RFC 8474) or Gmail's X-GM-MSGID: the same for each copy of a message. */
  readonly emailId: string | undefined
  readonly threadId: string | undefined
}

/** Changes of a mailbox since a mod-sequence. */
interface Changes {
  readonly changed: ReadonlyArray<Marks>
  /** UIDs that were deleted; empty if the server does not report them, or reported too many to be true. */
  readonly vanished: ReadonlyArray<number>
}

const marksOf = (row: FetchMessageObject): Marks => ({
  uid: row.uid,
  flags: [...(row.flags ?? [])].filter((flag) => flag.toLowerCase() !== "\\recent").toSorted(),
  ...(row.labels === undefined ? {} : { labels: [...row.labels].toSorted() })
})

export const detailsOf = (row: FetchMessageObject): Details => {
  const date = row.internalDate
  const received = date instanceof Date ? date.getTime() : Number.NaN
  return {
    ...marksOf(row),
    size: row.size,
    received: Number.isFinite(received) ? received : undefined,
    emailId: row.emailId,
    threadId: row.threadId
  }
}

/** Makes a message whose response could not be read. It is listed anyway: its download reports the reason. */
export const unreadable = (uid: number): Details => ({
  uid,
  flags: [],
  size: undefined,
  received: undefined,
  emailId: undefined,
  threadId: undefined
})

/** The fields to fetch of each listed message. The library adds EMAILID or X-GM-MSGID, and MODSEQ. */
export const detailsQuery: FetchQueryObject = {
  uid: true,
  flags: true,
  internalDate: true,
  size: true,
  threadId: true,
  labels: true
}

/** Makes a FETCH. Rows that lack a requested field are left out, because a server may send unrequested rows. */
const fetchRows = (
  client: Client,
  { name, path, validity }: Place,
  what: string,
  range: string,
  query: FetchQueryObject
): Effect.Effect<ReadonlyArray<FetchMessageObject>, IntegrationError> =>
  client.inMailbox(path, validity, "FETCH", `${what} of ${Names.quote(name)}`, async ({ imap }) => {
    const rows = await imap.fetchAll(range, query, { uid: true })
    return rows.filter((row) => row.uid > 0 && (query.flags !== true || row.flags !== undefined))
  })

/** Returns the existing messages with these UIDs, by UID. */
export const details = (
  client: Client,
  place: Place,
  uids: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, Details>, IntegrationError> =>
  uids.length === 0
    ? Effect.succeed(new Map())
    : Effect.map(fetchRows(client, place, "messages", Names.sequenceSet(uids), detailsQuery), (rows) => {
        const asked = new Set(uids)
        return new Map(rows.filter((row) => asked.has(row.uid)).map((row) => [row.uid, detailsOf(row)]))
      })

/** Returns the flags of all messages in a range, in the order of UIDs. */
export const marks = (
  client: Client,
  place: Place,
  range: string
): Effect.Effect<ReadonlyArray<Marks>, IntegrationError> =>
  Effect.map(fetchRows(client, place, "flags", range, { uid: true, flags: true, labels: true }), (rows) =>
    [...new Map(rows.map((row) => [row.uid, marksOf(row)])).values()].toSorted((a, b) => a.uid - b.uid)
  )

/** Splits the UIDs from `from` to before `to` into ranges of at most `limit` UIDs. */
const windowsOf = (from: number, to: number, limit: number): ReadonlyArray<string> => {
  const windows: Array<string> = []
  for (let start = from; start < to; start += limit) windows.push(`${start}:${Math.min(start + limit, to) - 1}`)
  return windows
}

/**
 * Returns the UIDs from `from` to before `to`, ascending. `since` and `before` bound INTERNALDATE by whole days of any
 * zone.
 */
export const uids = Effect.fnUntraced(function* (
  client: Client,
  { name, path, validity }: Place,
  from: number,
  to: number,
  days: { readonly since?: Date | undefined; readonly before?: Date | undefined } = {}
): Effect.fn.Return<ReadonlyArray<number>, IntegrationError> {
  if (from >= to) return []
  const { messageLimit } = yield* client.capabilities
  const windows = messageLimit === undefined ? [`${from}:${to - 1}`] : windowsOf(from, to, messageLimit)
  const found = yield* Effect.forEach(windows, (uid) =>
    client.inMailbox(path, validity, "SEARCH", `searching ${Names.quote(name)}`, async ({ imap }) => {
      const answer = await imap.search(
        {
          uid,
          ...(days.since === undefined ? {} : { since: days.since }),
          ...(days.before === undefined ? {} : { before: days.before })
        },
        { uid: true }
      )
      if (answer === false || answer === undefined) throw new Error("the server did not search")
      return answer
    })
  )
  return [...new Set(found.flat())].filter((uid) => uid >= from && uid < to).toSorted((a, b) => a - b)
})

/** Lists the changes in UIDs from `from` to before `to` after this mod-sequence. */
export const changes = (
  client: Client,
  { name, path, validity }: Place,
  { from, modseq, to }: { readonly from: number; readonly to: number; readonly modseq: string }
): Effect.Effect<Changes, IntegrationError> =>
  from >= to
    ? Effect.succeed({ changed: [], vanished: [] })
    : client.inMailbox(path, validity, "FETCH", `changes of ${Names.quote(name)}`, async (session) => {
        const vanished = new Set<number>()
        session.vanished = vanished
        try {
          const rows = await session.imap.fetchAll(
            `${from}:${to - 1}`,
            { uid: true, flags: true, labels: true },
            { uid: true, changedSince: BigInt(modseq) }
          )
          const marked = rows.filter(({ flags, uid }) => flags !== undefined && uid >= from && uid < to).map(marksOf)
          const isTold = session.capabilities.qresync && vanished.size <= maxVanished
          return {
            changed: marked.toSorted((a, b) => a.uid - b.uid),
            vanished: isTold ? [...vanished].filter((uid) => uid >= from && uid < to).toSorted((a, b) => a - b) : []
          }
        } finally {
          session.vanished = undefined
        }
      })

const keyFields = ["message-id", "received"]

/**
 * Returns the header fields that identify a message, unfolded: Message-ID, and Received, in which the servers on the
 * way wrote ids and times that the sender does not choose. Undefined without a Message-ID.
 */
const fieldsOf = (head: Uint8Array): string | undefined => {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString("latin1")
  const end = /\r?\n\r?\n/.exec(text)
  const unfolded = (end === null ? text : text.slice(0, end.index)).replaceAll(/\r?\n[ \t]+/g, " ").split(/\r?\n/)
  const fields = unfolded.flatMap((line) => {
    const colon = line.indexOf(":")
    const field = line.slice(0, colon).trim().toLowerCase()
    return keyFields.includes(field)
      ? [
          `${field}:${line
            .slice(colon + 1)
            .replaceAll(/\s+/g, " ")
            .trim()}`
        ]
      : []
  })
  return fields.some((line) => line.startsWith("message-id:")) ? fields.toSorted().join("\n") : undefined
}

/**
 * Returns a key that two messages share only if they are copies: the server's id of the message or, without one, a
 * digest of its Message-ID and Received fields, its size, and the time it was received.
 */
export const keyOf = (
  { emailId, received, size }: Pick<Details, "emailId" | "received" | "size">,
  head: Uint8Array | undefined
): string | undefined => {
  if (emailId !== undefined) return `id ${emailId}`
  if (head === undefined || received === undefined || size === undefined) return undefined
  const fields = fieldsOf(head)
  if (fields === undefined) return undefined
  return `${createHash("sha256").update(fields).digest("base64url")} ${size} ${received}`
}

/** Returns the keys of these messages, by UID. On servers without message ids, this requests the header fields. */
export const keys = Effect.fnUntraced(function* (client: Client, place: Place, messages: ReadonlyArray<Details>) {
  const found = new Map<number, string>()
  const add = (message: Details, head: Uint8Array | undefined) => {
    const key = keyOf(message, head)
    if (key !== undefined) found.set(message.uid, key)
  }
  const unnamed = new Map(messages.filter(({ emailId }) => emailId === undefined).map((one) => [one.uid, one]))
  for (const message of messages) if (message.emailId !== undefined) add(message, undefined)
  if (unnamed.size === 0) return found
  const query = { uid: true, headers: ["Message-ID", "Received"] }
  for (const row of yield* fetchRows(client, place, "headers", Names.sequenceSet([...unnamed.keys()]), query)) {
    const message = unnamed.get(row.uid)
    if (message !== undefined && row.headers !== undefined) add(message, row.headers)
  }
  return found
})

/** The error of a message that no longer exists. */
export const missing = (place: Place, uid: number): IntegrationError =>
  Errors.gone(`${Names.quote(place.name)} has no message with UID ${uid} any more`)
