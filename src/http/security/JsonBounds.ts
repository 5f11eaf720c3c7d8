/**
 * Bounds on the shape of a JSON text, checked before it is parsed: decoding takes time by its values and its depth, not
 * by its bytes, and meanwhile nobody else is answered. 1 MB of nested arrays took 3.3 seconds.
 */

/** How deep objects and arrays may nest. */
const maxDepth = 32
/** How many values there may be, and names of fields: a request's ids, which decode in under 50 ms. */
const maxValues = 20_000

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const opening = new Set([0x5b, 0x7b])
const closing = new Set([0x5d, 0x7d])

/** Why the text is not within the bounds; undefined if it is, or is no JSON. It reads each character once. */
export const problem = (text: string): string | undefined => {
  let depth = 0
  let values = 1
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      at++
      while (at < text.length && text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1
    } else if (code === comma) {
      values++
    } else if (opening.has(code)) {
      depth++
      values++
      if (depth > maxDepth) return `it may nest at most ${maxDepth} deep`
    } else if (closing.has(code)) {
      depth--
    }
    if (values > maxValues) return `it may have at most ${maxValues.toLocaleString("en")} values`
  }
  return undefined
}
