/**
 * Mailbox names and external ids.
 *
 * An external id is `mailbox/UIDVALIDITY/UID`. The mailbox is written with `/` between the levels of its hierarchy,
 * whatever separator the server has. A `/` inside a level (a server with another separator allows it) is `%2F`, and a
 * `%` that could be taken for the start of `%2F` or `%25` is `%25`; every other character stays as it is. The last two
 * levels of an id are always numbers, so an id names one message, also where a mailbox is called `2024`.
 */
import { externalIdProblem } from "../../contract/Content.ts"

/** The name of a mailbox in external ids. `path` is the server's name in Unicode. */
export const encode = (path: string, separator: string | null): string =>
  (separator === null || separator === "" ? [path] : path.split(separator))
    .map((level) => level.replaceAll(/%(?=2F|25)/g, "%25").replaceAll("/", "%2F"))
    .join("/")

/** The server's name of a mailbox. */
export const decode = (name: string, separator: string | null): string =>
  name
    .split("/")
    .map((level) => level.replaceAll(/%(2F|25)/g, (_, code) => (code === "2F" ? "/" : "%")))
    .join(separator ?? "/")

/** The highest UID (RFC 9051, 9). */
export const maxUid = 4_294_967_295

/** A message of the server. `validity` is the mailbox's UIDVALIDITY, 0 where the server gives none. */
export interface MessageId {
  readonly mailbox: string
  readonly validity: string
  readonly uid: number
}

/** The text that the ids of all messages of a mailbox begin with. */
export const prefix = (mailbox: string, validity: string): string => `${mailbox}/${validity}/`

export const format = ({ mailbox, uid, validity }: MessageId): string => `${prefix(mailbox, validity)}${uid}`

/** The message that an external id names; undefined for text that is no such id. */
export const parse = (id: string): MessageId | undefined => {
  const [, mailbox, validity, digits] = /^(.+)\/(0|[1-9]\d{0,19})\/([1-9]\d{0,9})$/s.exec(id) ?? []
  const uid = Number(digits)
  return mailbox === undefined || validity === undefined || uid > maxUid ? undefined : { mailbox, validity, uid }
}

/** The mailbox and UIDVALIDITY of a prefix. */
export const parsePrefix = (text: string): Omit<MessageId, "uid"> | undefined => parse(`${text}1`)

/** Why the messages of a mailbox can't have external ids, or undefined. */
export const problem = (mailbox: string): string | undefined =>
  externalIdProblem(format({ mailbox, validity: "18446744073709551615", uid: maxUid }))

/** UIDs as a sequence set of IMAP (`1:4,7`). */
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

/** A mailbox for people: quoted, control characters escaped. */
export const quote = (path: string): string => JSON.stringify(path)
