/** Text from outside, made safe to show: no control character of it reaches a terminal or a log. */

/**
 * C0 and C1 control characters, line separators, the marks that reorder text, and lone surrogates: with these a source
 * may clear a screen, write to the clipboard (OSC 52) or hide what a line says.
 */
const controls =
  "[\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]|\\p{Surrogate}"

const unsafe = new RegExp(controls, "gu")
const unsafeInLines = new RegExp(`\\r\\n|${controls}`, "gu")
/** Colours and weights (SGR), which move and hide nothing: the text of a command has those that Idem sets. */
const unsafeBesideColours = new RegExp(`\\u001b\\[[0-9;]*m|${controls}`, "gu")

const escaped = (character: string): string => {
  if (character === "\n") return "\\n"
  if (character === "\t") return "\\t"
  if (character === "\r") return "\\r"
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

/** The text on one line: control characters and lone surrogates as `\n`, `\t` or `\u{…}`. */
export const oneLine = (text: string): string => text.replace(unsafe, escaped)

/** The text with its line breaks and tabs; other control characters as `oneLine` writes them. */
export const lines = (text: string): string =>
  text.replace(unsafeInLines, (found) =>
    found === "\r\n" || found === "\n" || found === "\t" ? found : escaped(found)
  )

/** The same, and colours stay as well. */
export const colouredLines = (text: string): string =>
  text.replace(unsafeBesideColours, (found) =>
    found.length > 1 || found === "\n" || found === "\t" ? found : escaped(found)
  )

/** The same JSON document, in which the control characters that `JSON.stringify` leaves are escaped. */
export const json = (document: string): string =>
  document.replace(unsafe, (character) =>
    // Line breaks are the layout of the document: those in its texts are escaped already.
    character === "\n" ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
