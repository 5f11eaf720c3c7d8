/**
 * Checks bounds on the shape of a JSON text before it is parsed. The time to parse depends on the number of values and
 * on their depth, not only on the bytes, and blocks the process: 1 MB of nested arrays took 3.3 seconds.
 */

export interface Bounds {
  /** How deep objects and arrays may nest. */
  readonly depth: number
  /** The most values that the text may have. */
  readonly values: number
  /** The most names that one object may have. An object of many names takes four times as long to parse as an array. */
  readonly names: number
}

/**
 * The bounds for a source's response, which is a page of some hundred items. Parsing 200,000 values takes less than 50
 * ms.
 */
export const ofAnswers: Bounds = { depth: 100, values: 200_000, names: 10_000 }

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openArray = 0x5b
const openObject = 0x7b
const closing = new Set([0x5d, 0x7d])

/**
 * Returns why the text exceeds the bounds. Returns undefined if it does not, or is not JSON. Reads each character once.
 */
export const problem = (text: string, bounds: Bounds): string | undefined => {
  let values = 1
  // The number of names so far of each open object. An array counts as NaN, and so does the text itself.
  const open = [Number.NaN]
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      at++
      while (at < text.length && text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1
    } else if (code === comma) {
      values++
      const names = (open.pop() ?? Number.NaN) + 1
      open.push(names)
      if (names > bounds.names) return `one object may have at most ${bounds.names.toLocaleString("en")} names`
    } else if (code === openArray || code === openObject) {
      values++
      open.push(code === openObject ? 1 : Number.NaN)
      if (open.length - 1 > bounds.depth) return `it may nest at most ${bounds.depth} deep`
    } else if (closing.has(code)) {
      open.pop()
    }
    if (values > bounds.values) return `it may have at most ${bounds.values.toLocaleString("en")} values`
  }
  return undefined
}
