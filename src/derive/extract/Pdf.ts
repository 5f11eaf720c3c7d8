/** The text of a PDF, page by page. Nothing in it is run or fetched: fonts and pictures are not loaded. */
import { getDocument, VerbosityLevel } from "unpdf/pdfjs"
import { Unreadable } from "./Archive.ts"
import { TextBuilder } from "./TextBuilder.ts"

/** Pages that are read. */
const mostPages = 2000

export const read = async (
  bytes: Uint8Array,
  most: number
): Promise<{ readonly text: string; readonly truncated: boolean }> => {
  const loading = getDocument({
    // The library takes the buffer for itself.
    data: new Uint8Array(bytes),
    useSystemFonts: false,
    disableFontFace: true,
    stopAtErrors: false,
    verbosity: VerbosityLevel.ERRORS
  })
  try {
    const document = await loading.promise
    const out = new TextBuilder(most)
    const pages = Math.min(document.numPages, mostPages)
    for (let number = 1; number <= pages && !out.isFull; number += 1) {
      const page = await document.getPage(number)
      const { items } = await page.getTextContent()
      for (const item of items) {
        if (!("str" in item)) continue
        out.verbatim(item.str)
        if (item.hasEOL) out.line()
        if (out.isFull) break
      }
      out.line()
      page.cleanup()
    }
    const found = out.result()
    if (found.text === "" && pages > 0)
      throw new Unreadable("unsupported", "its pages have no text: they may be scanned")
    return { text: found.text, truncated: found.truncated || document.numPages > pages }
  } catch (error) {
    if (error instanceof Unreadable) throw error
    throw error instanceof Error && error.name === "PasswordException"
      ? new Unreadable("encrypted", "the PDF is protected by a password")
      : new Unreadable("damaged", "it is no whole PDF")
  } finally {
    await loading.destroy()
  }
}
