/** Reads the text of HTML and XML in one pass. No tree is built, so that deep nesting costs nothing. */
import { Parser } from "htmlparser2"
import { TextBuilder } from "./TextBuilder.ts"

/**
 * Elements whose content is never visible. `head` is not among them, because any text outside the title ends it, with
 * or without its end tag (HTML Standard, 13.2.6.4.4, "in head": anything else).
 */
const silent: ReadonlySet<string> = new Set([
  "iframe",
  "math",
  "noframes",
  "object",
  "script",
  "select",
  "style",
  "svg",
  "template"
])

/** Elements that begin on a new line. */
const blocks: ReadonlySet<string> = new Set([
  "address",
  "article",
  "aside",
  "blockquote",
  "body",
  "br",
  "center",
  "dd",
  "details",
  "div",
  "dl",
  "dt",
  "fieldset",
  "figcaption",
  "figure",
  "footer",
  "form",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "header",
  "hr",
  "li",
  "main",
  "nav",
  "ol",
  "p",
  "pre",
  "section",
  "summary",
  "table",
  "tr",
  "ul"
])

const voids: ReadonlySet<string> = new Set(["br", "hr", "img", "input", "link", "meta", "wbr"])

/** Matches styles that hide text, which senders use for the preview of mail programs, or against spam filters. */
const hidden = /display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all/i

/** Returns the visible text of HTML, with the alternative texts of pictures. */
export const html = (source: string, most: number): { readonly text: string; readonly truncated: boolean } => {
  const out = new TextBuilder(most)
  let depth = 0
  let title = ""
  let isTitle = false
  // The depth of the outermost element whose text is left out; 0 outside of such elements.
  let silentSince = 0
  const parser = new Parser(
    {
      onopentag: (name, attributes) => {
        if (!voids.has(name)) depth += 1
        if (name === "title" && silentSince === 0) isTitle = true
        if (silentSince === 0 && !voids.has(name)) {
          if (silent.has(name) || "hidden" in attributes || hidden.test(attributes["style"] ?? "")) silentSince = depth
        }
        if (silentSince > 0) return
        if (blocks.has(name)) out.line()
        else if (name === "td" || name === "th") out.tab()
        else if (name === "img" && attributes["alt"] !== undefined) out.flow(` ${attributes["alt"]} `)
      },
      onclosetag: (name) => {
        if (voids.has(name)) return
        if (name === "title") isTitle = false
        if (silentSince === 0 && blocks.has(name)) out.line()
        if (silentSince === depth) silentSince = 0
        depth -= 1
      },
      ontext: (text) => {
        if (isTitle && title.length < 1000) title += text
        if (silentSince === 0 && !isTitle) out.flow(text)
        if (out.isFull) parser.pause()
      }
    },
    { decodeEntities: true, lowerCaseTags: true, lowerCaseAttributeNames: true }
  )
  parser.write(source)
  if (!out.isFull) parser.end()
  return out.result(title)
}

/** Returns the text between the elements of XML. Entities that the document defines are never expanded. */
export const xml = (source: string, most: number): { readonly text: string; readonly truncated: boolean } => {
  const out = new TextBuilder(most)
  const parser = new Parser(
    {
      onopentagname: () => out.line(),
      ontext: (text) => {
        out.flow(text)
        if (out.isFull) parser.pause()
      }
    },
    { xmlMode: true, decodeEntities: true }
  )
  parser.write(source.replace(internalSubset, ""))
  if (!out.isFull) parser.end()
  return out.result()
}

/** Matches the internal subset, in which a document defines its own entities (XML 1.0, 2.8). */
const internalSubset = /<!DOCTYPE[^[>]*\[[\s\S]*?\]\s*>/i

/** Receives the elements of XML from `elements`: each with its prefixed name and its attributes. */
interface Visitor {
  readonly open?: (name: string, attributes: Readonly<Record<string, string>>) => void
  readonly close?: (name: string) => void
  readonly text?: (text: string) => void
}

/** Visits the elements of XML in order. */
export const elements = (source: string, { close, open, text }: Visitor): void => {
  const parser = new Parser(
    {
      ...(open === undefined ? {} : { onopentag: open }),
      ...(close === undefined ? {} : { onclosetag: close }),
      ...(text === undefined ? {} : { ontext: text })
    },
    { xmlMode: true, decodeEntities: true }
  )
  parser.end(source)
}
