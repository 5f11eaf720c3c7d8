/** Projects messages of Gmail as emails. Chats have no rows of their own, only their text in `mirror.content`. */
import { none, type Projection } from "../../contract/Projection.ts"
import * as MailProjection from "../../mail/MailProjection.ts"

export const projection: Projection = {
  version: 2,
  tables: MailProjection.tables,
  project: (content) => (content.kind === "message" ? MailProjection.project(content) : none.project(content))
}
