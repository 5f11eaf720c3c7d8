/** Projects messages of IMAP as emails. Their labels are the mailbox, the flags, and Gmail's labels. */
import type { Projection } from "../../contract/Projection.ts"
import * as MailProjection from "../../mail/MailProjection.ts"

const textsOf = (value: unknown): ReadonlyArray<string> =>
  (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "string")

export const projection: Projection = {
  version: 2,
  tables: MailProjection.tables,
  project: (content) => {
    const { flags, labels, mailbox } = content.metadata
    const all = [mailbox, flags, labels].flatMap(textsOf)
    const metadata = { ...content.metadata, labels: Object.fromEntries(all.map((label) => [label, true])) }
    return MailProjection.project({ ...content, metadata })
  }
}
