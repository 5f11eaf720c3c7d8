/**
 * Checks a body against the properties that its source announced. Servers answer 200 with a login page, an error as
 * JSON, or a part of a file: Slack sends an HTML page if a token may not read files (slack-go/slack#1284,
 * slackapi/node-slack-sdk#1750).
 */
import type { Announced } from "../../contract/Content.ts"

/** How many bytes at the start of a body are used to detect its type. */
const headBytes = 512

/**
 * Matches media types whose files can't begin like an HTML page or JSON. Other types can: a report named `.xls` is
 * often an HTML page, and a file of unknown type may be anything.
 */
const binary =
  /^(image\/(?!svg)|audio\/|video\/|font\/|application\/(pdf|zip|gzip|x-(7z|rar|tar|gzip)[a-z-]*|vnd\.openxmlformats-|vnd\.oasis\.opendocument\.)|application\/vnd\.rar)/i

/** Matches the tags by which the MIME Sniffing Standard of the WHATWG (7.1) recognizes an HTML page. */
const html = /^\s*<(!doctype html|html|head|body|script|title|meta)[\s>]/i
const json = /^\s*(\{\s*("|\})|\[\s*["{[\]])/

/** Returns why a body that begins with these bytes can't be of the announced type; undefined if it can. */
const typeProblem = (mediaType: string | undefined, head: Uint8Array): string | undefined => {
  if (mediaType === undefined || !binary.test(mediaType)) return undefined
  const text = Buffer.from(head)
    .toString("latin1")
    .replace(/^\u00ef\u00bb\u00bf/, "")
  const found = html.test(text) ? "an HTML page" : json.test(text) ? "JSON" : undefined
  return found === undefined ? undefined : `${found} came instead of the announced ${mediaType}`
}

const sizeProblem = (announced: number | undefined, size: number): string | undefined =>
  announced === undefined || announced === size ? undefined : `${size} bytes came instead of the announced ${announced}`

/** Returns what is wrong with a body in memory; undefined if nothing is. */
export const problemOf = (announced: Announced | undefined, bytes: Uint8Array): string | undefined =>
  typeProblem(announced?.mediaType, bytes.subarray(0, headBytes)) ?? sizeProblem(announced?.size, bytes.length)

/** Checks a body while it is streamed. `take` and `end` return what is wrong with it; undefined if nothing is. */
export const check = (announced: Announced | undefined) => {
  const head = Buffer.alloc(headBytes)
  let size = 0
  const wrongType = () => typeProblem(announced?.mediaType, head.subarray(0, size))
  return {
    take: (chunk: Uint8Array): string | undefined => {
      if (size < headBytes) head.set(chunk.subarray(0, headBytes - size), size)
      size += chunk.length
      if (announced?.size === undefined || size <= announced.size) return undefined
      return wrongType() ?? `more bytes came than the announced ${announced.size}`
    },
    end: (): string | undefined => wrongType() ?? sizeProblem(announced?.size, size)
  }
}
