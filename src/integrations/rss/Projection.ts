/** Projects entries of feeds to rows of `mirror.feed_entry`. */
import * as DateTime from "effect/DateTime"
import * as Projection from "../../contract/Projection.ts"

const entry: Projection.Table = {
  name: "feed_entry",
  description:
    "The entries of feeds, one row each. An entry that leaves its feed stays, unless the feed is complete (RFC 5005).",
  columns: {
    title: Projection.text("The title; null if there is none."),
    link: Projection.text("The address of the entry; null if there is none."),
    author: Projection.text("The names of the authors, separated by commas; null if the feed names none."),
    categories: Projection.texts("The categories or tags, in order."),
    published_at: Projection.timestamp("When it was published, or else updated; null if the feed gives no time."),
    summary: Projection.text("The summary; null if the feed has none besides the full text."),
    enclosures: Projection.texts("The addresses of its files, such as the audio of a podcast.")
  },
  indexes: ["published_at", "link", "author"],
  text: true,
  search: { author: "from", categories: "label" }
}

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])
const textsOf = (value: unknown): ReadonlyArray<string> => listOf(value).filter((one) => typeof one === "string")

export const projection: Projection.Projection = {
  version: 1,
  tables: [entry],
  project: ({ metadata, occurredAt, title }) => ({
    rows: [
      {
        table: "feed_entry",
        row: {
          title,
          link: Projection.textOf(metadata.link),
          author: Projection.textOf(textsOf(metadata.authors).join(", ")),
          categories: textsOf(metadata.categories),
          published_at: occurredAt === null ? null : DateTime.formatIso(occurredAt),
          summary: Projection.textOf(metadata.summary),
          enclosures: listOf(metadata.enclosures).flatMap((one) =>
            typeof one === "object" && one !== null && "url" in one && typeof one.url === "string" ? [one.url] : []
          )
        }
      }
    ],
    text: { _tag: "extracted", fileName: null }
  })
}
