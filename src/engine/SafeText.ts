/** Text from outside, made safe to show to people: no control character of it reaches a terminal or a log line. */

// C0 and C1 control characters, line separators and the marks that reorder text: what a source may put into a title to
// fool a terminal.
// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu

/** The text on one line: control characters and lone surrogates as `\n`, `\t` or `\u{…}`. */
export const oneLine = (text: string): string =>
  text.replace(unsafe, (character) => {
    if (character === "\n") return "\\n"
    if (character === "\t") return "\\t"
    if (character === "\r") return "\\r"
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
