/**
 * Mailbox names and external ids.
 *
 * An external id is `mailbox/UIDVALIDITY/UID`. The levels of the mailbox's hierarchy are separated by `/`, whatever
 * separator the server has. A `/` inside a level (a server with another separator allows it) becomes `%2F`, and a `%`
 * that could be read as the start of `%2F` or `%25` becomes `%25`; every other character stays. The last two levels of
 * an id are always numbers, so an id names one message, even if a mailbox is named `2024`.
 */
import { externalIdProblem } from "../../contract/Content.ts"

/** Returns the name of a mailbox in external ids. `path` is the server's name in Unicode. */
export const encode = (path: string, separator: string | null): string =>
  (separator === null || separator === "" ? [path] : path.split(separator))
    .map((level) => level.replaceAll(/%(?=2F|25)/g, "%25").replaceAll("/", "%2F"))
    .join("/")

/** Returns the server's name of a mailbox. */
export const decode = (name: string, separator: string | null): string =>
  name
    .split("/")
    .map((level) => level.replaceAll(/%(2F|25)/g, (_, code) => (code === "2F" ? "/" : "%")))
    .join(separator ?? "/")

/** The highest UID (RFC 9051, 9). */
export const maxUid = 4_294_967_295

/** A message on the server. `validity` is the mailbox's UIDVALIDITY, or 0 if the server reports none. */
interface MessageId {
  readonly mailbox: string
  readonly validity: string
  readonly uid: number
}

/** Returns the prefix of the ids of all messages of a mailbox. */
export const prefix = (mailbox: string, validity: string): string => `${mailbox}/${validity}/`

export const format = ({ mailbox, uid, validity }: MessageId): string => `${prefix(mailbox, validity)}${uid}`

/** Returns the message that an external id names; undefined for any other text. */
export const parse = (id: string): MessageId | undefined => {
  const [, mailbox, validity, digits] = /^(.+)\/(0|[1-9]\d{0,19})\/([1-9]\d{0,9})$/s.exec(id) ?? []
  const uid = Number(digits)
  return mailbox === undefined || validity === undefined || uid > maxUid ? undefined : { mailbox, validity, uid }
}

/** Returns the mailbox and UIDVALIDITY of a prefix; undefined for any other text. */
export const parsePrefix = (text: string): Omit<MessageId, "uid"> | undefined => parse(`${text}1`)

/** Returns why the messages of a mailbox can't have external ids, or undefined if they can. */
export const problem = (mailbox: string): string | undefined =>
  externalIdProblem(format({ mailbox, validity: "18446744073709551615", uid: maxUid }))

/** Formats UIDs as a sequence set of IMAP (`1:4,7`). */
export const sequenceSet = (uids: ReadonlyArray<number>): string => {
  const sorted = uids.toSorted((a, b) => a - b)
  const parts: Array<string> = []
  for (let at = 0; at < sorted.length;) {
    let end = at
    while ((sorted[end + 1] ?? 0) === (sorted[end] ?? 0) + 1) end++
    parts.push(at === end ? `${sorted[at]}` : `${sorted[at]}:${sorted[end]}`)
    at = end + 1
  }
  return parts.join(",")
}

/** Formats a mailbox for people: quoted, with control characters escaped. */
export const quote = (path: string): string => JSON.stringify(path)
