/**
 * Slack's `ts`: a text that is unique in its conversation: seconds, a point, six digits. It is compared by its parts
 * and never converted to a number, except for dates shown to people.
 */

/** Compares two `ts`. Negative if `a` is older than `b`. */
export const compareTs = (a: string, b: string): number => {
  const [as = "", af = ""] = a.split(".")
  const [bs = "", bf = ""] = b.split(".")
  if (as.length !== bs.length) return as.length - bs.length
  if (as !== bs) return as < bs ? -1 : 1
  const width = Math.max(af.length, bf.length)
  const [x, y] = [af.padEnd(width, "0"), bf.padEnd(width, "0")]
  return x === y ? 0 : x < y ? -1 : 1
}

export const newest = (a: string | undefined, b: string | undefined): string | undefined =>
  a === undefined ? b : b === undefined || compareTs(a, b) >= 0 ? a : b

/** Returns the `ts` of a time in milliseconds since 1970. For an earlier time, returns the first `ts`. */
export const tsOf = (millis: number): string => {
  const time = Math.max(0, Math.floor(millis))
  return `${Math.floor(time / 1000)}.${String(time % 1000).padStart(3, "0")}000`
}

/** Returns the time in milliseconds since 1970: for dates and spans, never to identify messages. */
export const millisOf = (ts: string): number => {
  const [seconds = "", fraction = ""] = ts.split(".")
  return Number(seconds) * 1000 + Number(fraction.slice(0, 3).padEnd(3, "0"))
}
