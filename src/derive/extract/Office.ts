/**
 * Reads the text of documents that are ZIP archives of XML: Office Open XML, OpenDocument, EPUB. For other archives,
 * lists the entries.
 */
import * as Archive from "./Archive.ts"
import * as Charset from "../../mail/Charset.ts"
import * as Markup from "./Markup.ts"
import { TextBuilder } from "./TextBuilder.ts"

type Kind = "docx" | "xlsx" | "pptx" | "opendocument" | "epub" | "zip"

interface Found {
  readonly kind: Kind
  readonly text: string
  readonly truncated: boolean
}

/** Sorts sheets, slides and chapters by the numbers in their names. */
const inOrder = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.toSorted((one, other) => one.localeCompare(other, "en", { numeric: true }))

const kindOf = (entries: ReadonlyArray<Archive.Entry>): Kind => {
  const names = new Set(entries.map(({ name }) => name))
  if (names.has("word/document.xml")) return "docx"
  if (names.has("xl/workbook.xml")) return "xlsx"
  if (names.has("ppt/presentation.xml")) return "pptx"
  if (names.has("META-INF/container.xml")) return "epub"
  if (names.has("content.xml") && names.has("mimetype")) return "opendocument"
  return "zip"
}

export const read = (bytes: Uint8Array, most: number): Found => {
  const { entries, truncated } = Archive.list(bytes)
  const kind = kindOf(entries)
  const out = new TextBuilder(most)
  switch (kind) {
    case "docx":
      docx(bytes, out)
      break
    case "xlsx":
      xlsx(bytes, out)
      break
    case "pptx":
      pptx(bytes, out)
      break
    case "opendocument":
      openDocument(bytes, out)
      break
    case "epub":
      epub(bytes, out, most)
      break
    case "zip":
      for (const { name } of entries) {
        out.verbatim(name)
        out.line()
      }
  }
  const found = out.result()
  return { kind, text: found.text, truncated: found.truncated || (kind === "zip" && truncated) }
}

/** Returns the entries with matching names, in order, with their decoded XML. */
const parts = (bytes: Uint8Array, pattern: RegExp): ReadonlyArray<readonly [string, string]> => {
  const inflated = Archive.inflate(bytes, (name) => pattern.test(name))
  return inOrder([...inflated.keys()]).map((name) => {
    const part = inflated.get(name) ?? new Uint8Array()
    return [name, Charset.decode(part, Charset.declared(part))] as const
  })
}

/** Runs of text in paragraphs, as WordprocessingML and DrawingML name them: `w:t` in `w:p`, `a:t` in `a:p`. */
const paragraphs = (source: string, prefix: "a" | "w", out: TextBuilder): void => {
  let inText = 0
  Markup.elements(source, {
    open: (name) => {
      if (name === `${prefix}:t`) inText += 1
      else if (name === `${prefix}:tab`) out.tab()
      else if (name === `${prefix}:br` || name === `${prefix}:cr`) out.line()
    },
    close: (name) => {
      if (name === `${prefix}:t`) inText -= 1
      else if (name === `${prefix}:p`) out.line()
      else if (name === `${prefix}:tc`) out.tab()
    },
    text: (text) => {
      if (inText > 0) out.verbatim(text)
    }
  })
}

const docx = (bytes: Uint8Array, out: TextBuilder): void => {
  const found = parts(bytes, /^word\/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml$/)
  // The document precedes its notes.
  const first = found.toSorted(
    ([one], [other]) => Number(other.includes("/document")) - Number(one.includes("/document"))
  )
  for (const [, source] of first) {
    if (out.isFull) return
    paragraphs(source, "w", out)
    out.line()
  }
}

const pptx = (bytes: Uint8Array, out: TextBuilder): void => {
  for (const [, source] of parts(bytes, /^ppt\/(?:slides|notesSlides)\/\w+\d+\.xml$/)) {
    if (out.isFull) return
    paragraphs(source, "a", out)
    out.line()
  }
}

const xlsx = (bytes: Uint8Array, out: TextBuilder): void => {
  const found = parts(bytes, /^xl\/(?:sharedStrings|workbook|worksheets\/\w+)\.xml$/)
  const shared: Array<string> = []
  const strings = found.find(([name]) => name === "xl/sharedStrings.xml")?.[1] ?? ""
  let text = ""
  let inText = false
  Markup.elements(strings, {
    open: (name) => {
      if (name === "si") text = ""
      inText = name === "t"
    },
    close: (name) => {
      if (name === "si") shared.push(text)
      inText = false
    },
    text: (piece) => {
      if (inText) text += piece
    }
  })
  const workbook = found.find(([name]) => name === "xl/workbook.xml")?.[1] ?? ""
  Markup.elements(workbook, {
    open: (name, attributes) => {
      if (name !== "sheet") return
      out.verbatim(attributes["name"] ?? "")
      out.line()
    }
  })
  for (const [name, source] of found) {
    if (!name.startsWith("xl/worksheets/")) continue
    if (out.isFull) return
    cells(source, shared, out)
    out.line()
  }
}

/**
 * Reads a sheet: one line a row, with tabs between its cells. A cell holds its text, the number of a shared text, or a
 * value.
 */
const cells = (source: string, shared: ReadonlyArray<string>, out: TextBuilder): void => {
  let isShared = false
  let inValue = false
  let value = ""
  Markup.elements(source, {
    open: (name, attributes) => {
      if (name === "c") isShared = attributes["t"] === "s"
      inValue = name === "v" || name === "t"
      if (inValue) value = ""
    },
    close: (name) => {
      if (inValue) out.verbatim(isShared ? (shared[Number(value)] ?? "") : value)
      inValue = false
      if (name === "c") out.tab()
      else if (name === "row") out.line()
    },
    text: (piece) => {
      if (inValue) value += piece
    }
  })
}

const openDocument = (bytes: Uint8Array, out: TextBuilder): void => {
  const [[, source] = ["", ""]] = parts(bytes, /^content\.xml$/)
  let depth = 0
  Markup.elements(source, {
    open: (name, attributes) => {
      if (name === "text:p" || name === "text:h") depth += 1
      else if (name === "text:s") out.flow(" ")
      else if (name === "text:tab") out.tab()
      else if (name === "text:line-break") out.line()
      else if (name === "table:table") {
        out.line()
        out.verbatim(attributes["table:name"] ?? "")
        out.line()
      }
    },
    close: (name) => {
      if (name === "text:p" || name === "text:h") {
        depth -= 1
        out.line()
      } else if (name === "table:table-cell") out.tab()
      else if (name === "table:table-row") out.line()
    },
    text: (text) => {
      if (depth > 0) out.flow(text)
    }
  })
}

/** Reads the chapters in the order of the book's spine (EPUB 3.3, 5.7), or else by name. */
const epub = (bytes: Uint8Array, out: TextBuilder, most: number): void => {
  const inflated = Archive.inflate(bytes, (name) => /\.(?:opf|x?html?)$/i.test(name))
  const source = (name: string): string => {
    const part = inflated.get(name)
    return part === undefined ? "" : Charset.decode(part, Charset.declared(part))
  }
  const names = inOrder([...inflated.keys()])
  const book = names.find((name) => name.endsWith(".opf"))
  const base = book?.replace(/[^/]*$/, "") ?? ""
  const files = new Map<string, string>()
  const spine: Array<string> = []
  Markup.elements(book === undefined ? "" : source(book), {
    open: (name, attributes) => {
      if (name.endsWith("item") && attributes["id"] !== undefined && attributes["href"] !== undefined) {
        files.set(attributes["id"], base + decoded(attributes["href"]))
      }
      if (name.endsWith("itemref") && attributes["idref"] !== undefined) spine.push(attributes["idref"])
    }
  })
  const chapters = spine.flatMap((id) => files.get(id) ?? []).filter((name) => inflated.has(name))
  for (const name of chapters.length > 0 ? chapters : names.filter((each) => !each.endsWith(".opf"))) {
    if (out.isFull) return
    out.verbatim(Markup.html(source(name), most).text)
    out.line()
  }
}

const decoded = (href: string): string => {
  try {
    return decodeURIComponent(href)
  } catch {
    return href
  }
}
