/** The text of calendars (RFC 5545) and address cards (RFC 6350, vCard 2.1), which share the format of their lines. */
import * as Charset from "../../mail/Charset.ts"
import { TextBuilder } from "./TextBuilder.ts"

/** Properties that people search by, in the order of the files. */
const wanted: ReadonlySet<string> = new Set([
  "ADR",
  "ATTENDEE",
  "BDAY",
  "CATEGORIES",
  "COMMENT",
  "CONTACT",
  "DESCRIPTION",
  "DTEND",
  "DTSTART",
  "DUE",
  "EMAIL",
  "FN",
  "LOCATION",
  "N",
  "NICKNAME",
  "NOTE",
  "ORG",
  "ORGANIZER",
  "RESOURCES",
  "ROLE",
  "SUMMARY",
  "TEL",
  "TITLE",
  "URL",
  "X-WR-CALNAME"
])

const unescaped = (value: string): string =>
  value.replaceAll(/\\([\\;,nN])/g, (_, character: string) => (/n/i.test(character) ? "\n" : character))

/** Properties whose value consists of parts between semicolons: name, address, organisation. */
const structured: ReadonlySet<string> = new Set(["ADR", "N", "ORG"])

/** Decodes a quoted-printable value of vCard 2.1, in the charset that its parameters name. */
const unquoted = (value: string, parameters: string): string => {
  const bytes = Buffer.from(value)
    .toString("latin1")
    .replaceAll(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Charset.decode(Buffer.from(bytes, "latin1"), Charset.ofMediaType(parameters))
}

/** Reads the lines of properties: the value of each, and a person's name if a parameter has it. */
export const contentLines = (source: string, most: number): { readonly text: string; readonly truncated: boolean } => {
  const out = new TextBuilder(most)
  const unfolded = source.replaceAll(/\r?\n[ \t]/g, "")
  const lines = unfolded.split(/\r?\n/)
  for (let at = 0; at < lines.length; at += 1) {
    // A colon in a quoted parameter does not end the name.
    const [, property = "", parameters = "", value = ""] =
      /^(?:[\w-]+\.)?([\w-]+)((?:;(?:"[^"]*"|[^":])*)?):(.*)$/s.exec(lines[at] ?? "") ?? []
    const name = property.toUpperCase()
    if (!wanted.has(name) || value.trim() === "") continue
    const person = /;CN=(?:"([^"]*)"|([^;:]*))/i.exec(parameters)
    const isQuoted = /;(?:ENCODING=)?QUOTED-PRINTABLE(?=[;:]|$)/i.test(parameters)
    const pieces = [value]
    // A line that ends in "=" continues in the next one, which has no leading space.
    if (isQuoted) {
      while (pieces.at(-1)?.endsWith("=") === true && at + 1 < lines.length) pieces.push(lines[(at += 1)] ?? "")
    }
    const whole = isQuoted ? unquoted(pieces.map((piece) => piece.replace(/=$/, "")).join(""), parameters) : value
    const said = unescaped(whole).replace(/^mailto:/i, "")
    out.line()
    out.verbatim(
      [person?.[1] ?? person?.[2] ?? "", structured.has(name) ? said.replaceAll(";", " ").trim() : said]
        .filter((part) => part !== "")
        .join(" ")
    )
    if (out.isFull) break
  }
  return out.result()
}
