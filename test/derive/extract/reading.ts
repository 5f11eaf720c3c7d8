/** Reads the text of a file. */
import { assert } from "@effect/vitest"
import * as FormatReader from "../../../src/derive/extract/FormatReader.ts"

export const read = (content: Uint8Array | string, mediaType?: string, fileName?: string) =>
  FormatReader.text(typeof content === "string" ? Buffer.from(content) : content, { mediaType, fileName }, false)

export const textOf = async (...args: Parameters<typeof read>): Promise<string> => {
  const found = await read(...args)
  assert.isNull(found.message)
  return found.text ?? ""
}
