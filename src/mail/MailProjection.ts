/** Projects emails to rows of `mirror.mail` and `mirror.mail_address`, for every integration with emails. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Headers from "./Headers.ts"
import * as Projection from "../contract/Projection.ts"

const mail: Projection.Table = {
  name: "mail",
  description: "The stored emails, one row each. Deleted emails have no row.",
  columns: {
    thread: Projection.text(
      "The source's thread id, or else the first Message-ID in References or In-Reply-To, or its own. Never null."
    ),
    subject: Projection.text("The subject, decoded."),
    sent_at: Projection.timestamp("When it was sent, by its Date field; `received_at` if that field can't be read."),
    received_at: Projection.timestamp("When it arrived, according to the source."),
    from_name: Projection.text("The sender's name; null if there is none."),
    from_address: Projection.text("The sender's address in lower case."),
    labels: Projection.texts(
      "The source's labels, sorted. Gmail: label ids such as INBOX, SENT and UNREAD. IMAP: the mailbox and the flags."
    ),
    size: Projection.integer("The size of the whole email in bytes."),
    message_id: Projection.text("The Message-ID field, with its angle brackets."),
    in_reply_to: Projection.text("The Message-ID of the email that this one replies to.")
  },
  indexes: ["thread", "sent_at", "received_at", "from_address", "message_id"],
  text: true,
  snippet: true,
  hasAttachments: true,
  search: { labels: "label" }
}

const byRole = { by: "role", fields: { from: "from", to: "to", cc: "to", bcc: "to" } } as const

const mailAddress: Projection.Table = {
  name: "mail_address",
  description: "The people in the header fields of emails, one row for each person in a field.",
  id: { name: "mail", description: "The email's `id` in `mirror.mail`, unique within its connection." },
  columns: {
    role: Projection.text("The field: from, to, cc, bcc or reply_to."),
    position: Projection.integer("The position in the field, from 1."),
    name: Projection.text("The name; null if there is none."),
    address: Projection.text("The address in lower case; null if there is none.")
  },
  key: ["role", "position"],
  indexes: ["address"],
  search: { name: byRole, address: byRole }
}

export const tables: ReadonlyArray<Projection.Table> = [mail, mailAddress]

const Mailbox = Schema.Struct({ name: Schema.String, address: Schema.String })
const Mailboxes = Schema.Array(Mailbox)
const asMailbox = Schema.decodeUnknownOption(Mailbox)
const asMailboxes = Schema.decodeUnknownOption(Mailboxes)
const isTexts = Schema.is(Schema.Array(Schema.String))
const isLabels = Schema.is(Schema.JsonObject)

const lower = (address: string): string | null => (address === "" ? null : address.toLowerCase())

/** Returns a date that the mirror can store (ISO 8601 in UTC with a year of four digits), else null. */
const dateOf = (value: unknown): string | null =>
  typeof value === "string" && /^\d{4}-/.test(value)
    ? Option.match(DateTime.make(value), { onNone: () => null, onSome: (at) => DateTime.formatIso(DateTime.toUtc(at)) })
    : null

/** Returns labels from an object of names (Gmail's, which patches merge into) or from a list. */
const labelsOf = (value: unknown): ReadonlyArray<string> =>
  isTexts(value) ? value : isLabels(value) ? Object.keys(value).filter((name) => value[name] !== null) : []

const roles = { from: "from", to: "to", cc: "cc", bcc: "bcc", replyTo: "reply_to" } as const

const mailboxesOf = (value: unknown) =>
  Option.getOrElse(asMailboxes(value), () =>
    Option.match(asMailbox(value), { onNone: () => [], onSome: (one) => [one] })
  )

/**
 * Projects an email whose metadata has the fields of `Headers.read`, and `threadId` and `labels` if the source has
 * them.
 */
export const project = (content: Projection.ProjectedContent): Projection.Projected => {
  const { externalId, metadata } = content
  const [from] = mailboxesOf(metadata.from)
  const received = Projection.isoOf(content.occurredAt)
  const references = isTexts(metadata.references) ? metadata.references : []
  // Emails that were stored before the field was split into ids have its whole text.
  const inReplyTo = Headers.messageIds(Projection.textOf(metadata.inReplyTo) ?? undefined)[0] ?? null
  const thread =
    Projection.textOf(metadata.threadId) ??
    Projection.textOf(references[0]) ??
    inReplyTo ??
    Projection.textOf(metadata.messageId) ??
    externalId
  return {
    rows: [
      {
        table: "mail",
        row: {
          thread,
          subject: content.title,
          sent_at: dateOf(metadata.date) ?? received,
          received_at: received,
          from_name: from === undefined ? null : Projection.textOf(from.name),
          from_address: from === undefined ? null : lower(from.address),
          labels: labelsOf(metadata.labels).toSorted(),
          size: content.size,
          message_id: Projection.textOf(metadata.messageId),
          in_reply_to: inReplyTo
        }
      },
      ...Object.entries(roles).flatMap(([field, role]) =>
        mailboxesOf(metadata[field]).map(({ address, name }, index) => ({
          table: "mail_address",
          row: { role, position: index + 1, name: Projection.textOf(name), address: lower(address) }
        }))
      )
    ],
    text: { _tag: "extracted", fileName: null }
  }
}
