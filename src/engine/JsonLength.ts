/**
 * Checks and measures values that an integration gives as JSON, before they are stored. TypeScript's types do not reach
 * all of them.
 */
import * as Result from "effect/Result"
import * as MessageText from "./MessageText.ts"

const mebibyte = 1024 * 1024

/** The most characters of JSON. */
const maxLength = 4 * mebibyte

/** How deep values may nest. Much deeper ones overflow the stack of `JSON.stringify`. */
const maxDepth = 1000

/** Returns the class of an object as JavaScript names it: `Object`, `Array`, `Date`, `Map`. */
const classOf = (value: object): string => Object.prototype.toString.call(value).slice("[object ".length, -1)

interface Found {
  readonly path: string
  readonly problem: string
}

/**
 * Returns the length of this object as JSON, approximately: without quotes, escapes, and the digits of numbers. Fails
 * with the reason why it can't be stored as an object of JSON values; the reason names the field. As in
 * `JSON.stringify`, undefined values are left out, and NaN and the infinities become null.
 */
export const of = (name: string, json: unknown): Result.Result<number, string> => {
  // Shared values count each time, as they do in JSON.
  let length = 0

  const visit = (value: unknown, depth: number): Found | undefined => {
    const found = (problem: string): Found => ({ path: "", problem })
    if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol") {
      return found(`is a ${typeof value}, not a JSON value`)
    }
    length += typeof value === "string" || Array.isArray(value) ? value.length + 1 : 1
    if (length > maxLength) return found(`is beyond the ${maxLength / mebibyte} MiB of JSON that a field may have`)
    if (typeof value !== "object" || value === null) return undefined
    if (!Array.isArray(value) && classOf(value) !== "Object") return found(`is a ${classOf(value)}, not a JSON value`)
    if (depth > maxDepth) return found(`contains itself, or nests more than ${maxDepth} deep`)
    for (const [key, inner] of Object.entries(value)) {
      length += key.length
      const problem = visit(inner, depth + 1)
      if (problem !== undefined) return { ...problem, path: `.${key}${problem.path}` }
    }
    return undefined
  }

  if (typeof json !== "object" || json === null || classOf(json) !== "Object") {
    return Result.fail(`\`${name}\` must be an object of JSON values`)
  }
  const found = visit(json, 0)
  return found === undefined
    ? Result.succeed(length)
    : Result.fail(`\`${MessageText.short(`${name}${found.path}`)}\` ${found.problem}`)
}
