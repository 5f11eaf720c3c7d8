/** Text from outside, made safe to show: no control character of it reaches a terminal or a log. */

/**
 * Matches C0 and C1 control characters, line separators, characters that reorder text, and lone surrogates. With these
 * a source could clear a screen, write to the clipboard (OSC 52) or hide a part of a line.
 */
const controls =
  "[\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]|\\p{Surrogate}"

const unsafe = new RegExp(controls, "gu")
const unsafeInLines = new RegExp(`\\r\\n|${controls}`, "gu")
/** Also matches colours and weights (SGR) as a whole: they are harmless, and the output of commands uses them. */
const unsafeBesideColours = new RegExp(`\\u001b\\[[0-9;]*m|${controls}`, "gu")

const escaped = (character: string): string => {
  if (character === "\n") return "\\n"
  if (character === "\t") return "\\t"
  if (character === "\r") return "\\r"
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

/** Returns the text on one line: control characters and lone surrogates are escaped as `\n`, `\t` or `\u{…}`. */
export const oneLine = (text: string): string => text.replace(unsafe, escaped)

/** Keeps line breaks and tabs, and escapes all other control characters like `oneLine`. */
export const lines = (text: string): string =>
  text.replace(unsafeInLines, (found) =>
    found === "\r\n" || found === "\n" || found === "\t" ? found : escaped(found)
  )

/** The same as `lines`, but keeps colours too. */
export const colouredLines = (text: string): string =>
  text.replace(unsafeBesideColours, (found) =>
    found.length > 1 || found === "\n" || found === "\t" ? found : escaped(found)
  )

/** Escapes the control characters that `JSON.stringify` leaves. The document stays equal JSON. */
export const json = (document: string): string =>
  document.replace(unsafe, (character) =>
    // Line breaks only lay the document out: line breaks within its strings are already escaped.
    character === "\n" ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
