/** Prepares text for display: detects its type, indents JSON, and splits CSV and TSV into cells. */
import type { Content } from "./Api.ts"

/** The fields that show the type of a content. */
type Named = Pick<Content, "externalId" | "mediaType" | "title">

/** Media types by the extension of a file's name: FTP servers report no media type. */
const byExtension: ReadonlyMap<string, string> = new Map([
  ["avif", "image/avif"],
  ["csv", "text/csv"],
  ["gif", "image/gif"],
  ["jpeg", "image/jpeg"],
  ["jpg", "image/jpeg"],
  ["json", "application/json"],
  ["log", "text/plain"],
  ["markdown", "text/markdown"],
  ["md", "text/markdown"],
  ["png", "image/png"],
  ["tsv", "text/tab-separated-values"],
  ["txt", "text/plain"],
  ["webp", "image/webp"]
])

const typeByName = ({ externalId, title }: Named): string => {
  const [, extension] = /\.([a-z]+)$/i.exec(title ?? "") ?? /\.([a-z]+)$/i.exec(externalId) ?? []
  return byExtension.get(extension?.toLowerCase() ?? "") ?? ""
}

/** Returns the media type in lower case, without parameters: the source's, else by the name; empty if unknown. */
export const typeOf = (content: Named): string => {
  const given = (content.mediaType ?? "").replace(/;.*$/s, "").trim().toLowerCase()
  return given === "" ? typeByName(content) : given
}

/** Returns true for Markdown: by the media type, or by the name of a plain text. */
export const isMarkdown = (content: Named): boolean => {
  const type = typeOf(content)
  const isNamed = type === "text/plain" && typeByName(content) === "text/markdown"
  return type === "text/markdown" || type === "text/x-markdown" || isNamed
}

/** The most rows of a table that are shown. More can only be downloaded. */
export const mostRows = 200

/** Parses CSV (RFC 4180) or TSV, at most `mostRows` rows. Returns undefined if a quoted field does not end. */
export const rowsOf = (text: string, separator: "," | "\t"): ReadonlyArray<ReadonlyArray<string>> | undefined => {
  const rows: Array<Array<string>> = []
  let row: Array<string> = []
  let field = ""
  let isQuoted = false
  for (let at = 0; at < text.length && rows.length < mostRows; at += 1) {
    const letter = text.charAt(at)
    if (isQuoted) {
      if (letter !== '"') field += letter
      else if (text.charAt(at + 1) === '"') {
        field += '"'
        at += 1
      } else isQuoted = false
    } else if (letter === '"' && field === "") isQuoted = true
    else if (letter === separator) {
      row.push(field)
      field = ""
    } else if (letter === "\n") {
      rows.push([...row, field])
      row = []
      field = ""
    } else if (letter !== "\r") field += letter
  }
  if (isQuoted) return undefined
  if (rows.length < mostRows && (field !== "" || row.length > 0)) rows.push([...row, field])
  return rows
}

/** Indents JSON. Returns other text unchanged. */
export const indented = (text: string): string => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
