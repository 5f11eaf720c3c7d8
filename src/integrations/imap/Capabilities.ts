/** The capabilities of an IMAP server (RFC 9051, 7.2.2) that decide which commands it gets. */
import type { ImapFlow } from "imapflow"

export interface Capabilities {
  readonly gmail: boolean
  readonly qresync: boolean
  readonly condstore: boolean
  readonly objectId: boolean
  readonly listStatus: boolean
  /** The most messages that one command may concern (RFC 9738). */
  readonly messageLimit: number | undefined
}

/** The capabilities before the login. */
export const none: Capabilities = {
  gmail: false,
  qresync: false,
  condstore: false,
  objectId: false,
  listStatus: false,
  messageLimit: undefined
}

/** The capabilities of a server after the login. */
export const of = ({ capabilities, enabled }: ImapFlow): Capabilities => {
  const limit = [...capabilities.keys()].map((name) => /^MESSAGELIMIT=(\d+)$/i.exec(name)?.[1]).find(Boolean)
  return {
    gmail: capabilities.has("X-GM-EXT-1"),
    qresync: enabled.has("QRESYNC"),
    condstore: enabled.has("CONDSTORE"),
    objectId: capabilities.has("OBJECTID"),
    listStatus: capabilities.has("LIST-STATUS"),
    messageLimit: limit === undefined ? undefined : Number(limit)
  }
}
