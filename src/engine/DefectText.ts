/** Describes a defect for people: its class, and the line of code that threw it. */
import { short } from "./MessageText.ts"

/** A frame of a stack: the last two names of the file's path, and the line. */
const frame = /([^\s(/\\]+[/\\][^\s(/\\]+:\d+):\d+\)?$/

/** The first line of the stack that is neither of a library nor of Node, like `notes/Session.ts:41`. */
const place = (stack: string): string | undefined => {
  const frames = stack.split("\n").filter((line) => line.startsWith("    at ") && frame.test(line))
  const own = frames.find((line) => !/[/\\]node_modules[/\\]|\bnode:/.test(line)) ?? frames[0]
  return own?.match(frame)?.[1]
}

/** Never the text of the defect, which may hold a secret: only the log has it. */
export const describe = (defect: unknown): string => {
  if (!(defect instanceof Error)) return `a ${defect === null ? "null" : typeof defect}`
  const at = place(defect.stack ?? "")
  return short(defect.name, 40) + (at === undefined ? "" : ` at ${short(at, 100)}`)
}
