/** The text of calendars (RFC 5545) and address cards (RFC 6350), which share the format of their lines. */
import { TextBuilder } from "./TextBuilder.ts"

/** Properties that people search by, in the order in which files give them. */
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

/** The values of a card's fields stand between semicolons: name, address, organisation. */
const structured: ReadonlySet<string> = new Set(["ADR", "N", "ORG"])

/** Reads one property from each line: its value, and the person's name if a parameter has it. */
export const contentLines = (source: string, most: number): { readonly text: string; readonly truncated: boolean } => {
  const out = new TextBuilder(most)
  const unfolded = source.replaceAll(/\r?\n[ \t]/g, "")
  for (const line of unfolded.split(/\r?\n/)) {
    // A colon in a quoted parameter does not end the name.
    const [, property = "", parameters = "", value = ""] =
      /^(?:[\w-]+\.)?([\w-]+)((?:;(?:"[^"]*"|[^":])*)?):(.*)$/s.exec(line) ?? []
    const name = property.toUpperCase()
    if (!wanted.has(name) || value.trim() === "") continue
    const person = /;CN=(?:"([^"]*)"|([^;:]*))/i.exec(parameters)
    const said = unescaped(value).replace(/^mailto:/i, "")
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
