/**
 * Parses a response of `messages.get` with `format=raw` while it arrives: decodes and emits the text of its `raw`
 * field, and keeps the rest. So a message takes no more memory than its other fields, whatever its size.
 *
 * The response is JSON (RFC 8259): fields in any order, any escapes (Google writes `=` as `\u003d`), white space
 * anywhere. The text of `raw` is base64url (RFC 4648, 5) with or without padding. The kept text has an empty text in
 * place of `raw`, and is parsed as a whole at the end, which finds every other syntax error.
 */
import * as Predicate from "effect/Predicate"

/** The most bytes of all fields except `raw`: ids, labels and a snippet of 200 characters. */
const maxRest = 1024 * 1024

/** Only shorter keys are compared in full: `raw` with each letter escaped has 18 bytes. */
const maxKey = 32

const quote = 0x22
const backslash = 0x5c

/** The response can't be read: its JSON is broken or truncated, or the text of `raw` is not base64url. */
export class Unreadable extends Error {
  readonly what: "answer" | "body"
  constructor(what: "answer" | "body") {
    super(`the ${what} can't be read`)
    this.what = what
  }
}

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** Decodes base64url in pieces of any length. */
const decoder = () => {
  let carry = ""
  let digits = 0
  let padding = 0
  return {
    take: (text: string): Uint8Array => {
      const end = text.indexOf("=")
      const some = end === -1 ? text : text.slice(0, end)
      const rest = end === -1 ? "" : text.slice(end)
      if ((padding > 0 && some !== "") || !/^[A-Za-z0-9_+/-]*$/.test(some) || !/^=*$/.test(rest)) {
        throw new Unreadable("body")
      }
      padding += rest.length
      digits += some.length
      const all = carry + some
      const whole = all.length - (all.length % 4)
      carry = all.slice(whole)
      return Buffer.from(whole === all.length ? all : all.slice(0, whole), "base64url")
    },
    end: (): Uint8Array => {
      if (carry.length === 1 || (padding > 0 && (digits + padding) % 4 !== 0)) throw new Unreadable("body")
      return Buffer.from(carry, "base64url")
    }
  }
}

interface RawReader {
  /**
   * Takes the next bytes of the response, and returns the bytes of the message that they complete. Throws `Unreadable`.
   */
  readonly take: (chunk: Uint8Array) => ReadonlyArray<Uint8Array>
  /** Returns the fields before `raw`, while its text is read; undefined if they can't be parsed on their own. */
  readonly before: () => unknown
  /** Returns the response without `raw`, after all of its bytes. Throws `Unreadable`. */
  readonly end: () => object
}

export const make = (): RawReader => {
  const kept: Array<Buffer> = []
  let keptBytes = 0
  let depth = 0
  /** True inside a text, and true if the next byte is escaped. */
  let inText = false
  let escaped = false
  /** At depth 1: true if the next text is a name, and the bytes of the name that is read. */
  let atName = false
  let name: Array<number> | undefined
  let isRaw = false
  let raw: ReturnType<typeof decoder> | undefined
  let found = false
  /** An escape within `raw` that was split by the end of a chunk. */
  let escape = ""

  const keep = (bytes: Uint8Array) => {
    keptBytes += bytes.length
    if (keptBytes > maxRest) throw new Unreadable("answer")
    // Copied, because otherwise the whole chunk would stay in memory.
    if (bytes.length > 0) kept.push(Buffer.from(bytes))
  }

  /** Reads a byte of any text except `raw`, up to its closing quote. */
  const readText = (byte: number): void => {
    const isEnd = byte === quote && !escaped
    escaped = byte === backslash && !escaped
    if (!isEnd) {
      if (name !== undefined && name.length <= maxKey) name.push(byte)
      return
    }
    inText = false
    if (name !== undefined) isRaw = isRawName(name)
    name = undefined
  }

  /** Reads a byte between texts. A value that is no text belongs to no `raw`. */
  const readStructure = (byte: number): void => {
    const character = String.fromCharCode(byte)
    if (character === '"') {
      inText = true
      if (depth === 1 && atName) name = []
    } else if (character === "{" || character === "[") {
      depth += 1
      atName = depth === 1 && character === "{"
      if (depth === 2) isRaw = false
    } else if (character === "}" || character === "]") depth -= 1
    else if (depth !== 1 || isSpace(byte)) return
    else if (character === "," || character === ":") atName = character === ","
    else if (!atName) isRaw = false
  }

  /**
   * Reads outside of `raw` from `start`. Returns where it stopped: at the first byte of the text of `raw`, or at the
   * end.
   */
  const outside = (chunk: Uint8Array, start: number): number => {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (inText) readText(byte)
      else if (byte === quote && depth === 1 && !atName && isRaw) {
        // A second `raw` would be ambiguous.
        if (found) throw new Unreadable("answer")
        found = true
        keep(chunk.subarray(start, at + 1))
        raw = decoder()
        return at + 1
      } else readStructure(byte)
    }
    keep(chunk.subarray(start))
    return chunk.length
  }

  /** Reads the text of `raw` from `start`. Returns where it stopped: after the text, or at the end of the chunk. */
  const inside = (chunk: Buffer, start: number, text: ReturnType<typeof decoder>, out: Array<Uint8Array>): number => {
    const add = (bytes: Uint8Array) => void (bytes.length > 0 && out.push(bytes))
    let at = start
    while (at < chunk.length) {
      if (escape !== "") {
        escape += String.fromCharCode(chunk[at] ?? 0)
        at += 1
        if (escape.length < (escape[1] === "u" ? 6 : 2)) continue
        const character = unescaped(escape)
        escape = ""
        add(text.take(character))
        continue
      }
      if (chunk[at] === backslash) {
        escape = "\\"
        at += 1
        continue
      }
      const closing = chunk.indexOf(quote, at)
      const stop = closing === -1 ? chunk.length : closing
      const slash = chunk.subarray(at, stop).indexOf(backslash)
      const until = slash === -1 ? stop : at + slash
      if (until > at) add(text.take(chunk.toString("latin1", at, until)))
      at = until
      if (slash === -1 && closing !== -1) {
        add(text.end())
        raw = undefined
        isRaw = false
        // The closing quote of the text is kept, like the opening one.
        keep(chunk.subarray(closing, closing + 1))
        return closing + 1
      }
    }
    return at
  }

  return {
    take: (bytes) => {
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const out: Array<Uint8Array> = []
      let at = 0
      while (at < chunk.length) at = raw === undefined ? outside(chunk, at) : inside(chunk, at, raw, out)
      return out
    },
    before: () => {
      if (raw === undefined) return undefined
      try {
        return JSON.parse(`${Buffer.concat(kept).toString("utf8")}"}`)
      } catch {
        return undefined
      }
    },
    end: () => {
      if (raw !== undefined) throw new Unreadable("answer")
      const rest = parsed(Buffer.concat(kept).toString("utf8"))
      if (!Predicate.isObject(rest) || Array.isArray(rest)) throw new Unreadable("answer")
      if (!found) throw new Unreadable("body")
      return rest
    }
  }
}

/** Returns true if the bytes of this name spell `raw`, with or without escapes. */
const isRawName = (bytes: ReadonlyArray<number>): boolean =>
  bytes.length <= maxKey && parsed(`"${Buffer.from(bytes).toString("utf8")}"`) === "raw"

/** Returns the character of one escape. The decoder checks that it is valid base64. */
const unescaped = (escape: string): string => {
  const value = parsed(`"${escape}"`)
  return typeof value === "string" ? value : ""
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new Unreadable("answer")
  }
}
