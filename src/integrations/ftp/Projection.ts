/** Projects files to rows of `mirror.file`. */
import * as DateTime from "effect/DateTime"
import * as Projection from "../../contract/Projection.ts"

const file: Projection.Table = {
  name: "file",
  description: "The stored files of file servers, one row each. Deleted files have no row.",
  columns: {
    path: Projection.text("The path below the connection's root, without a leading slash."),
    folder: Projection.text("The path of the folder; empty for the root."),
    name: Projection.text("The file's name."),
    size: Projection.integer("The size in bytes."),
    modified_at: Projection.timestamp(
      "When it was last changed, according to the server; null if the server gives no time."
    ),
    media_type: Projection.text("The media type; null if the source gives none.")
  },
  indexes: ["path", "folder", "modified_at", "size"],
  text: true,
  search: { folder: "in" }
}

export const projection: Projection.Projection = {
  version: 1,
  tables: [file],
  project: (content) => {
    const path = content.externalId
    const slash = path.lastIndexOf("/")
    const name = path.slice(slash + 1)
    return {
      rows: [
        {
          table: "file",
          row: {
            path,
            folder: path.slice(0, Math.max(slash, 0)),
            name,
            size: content.size,
            modified_at: content.occurredAt === null ? null : DateTime.formatIso(content.occurredAt),
            media_type: content.mediaType
          }
        }
      ],
      text: { _tag: "extracted", fileName: name }
    }
  }
}
