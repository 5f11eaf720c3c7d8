/**
 * Reads the text of a PDF, page by page. Nothing in the file is run or fetched: fonts and pictures are not loaded.
 *
 * Chinese, Japanese and Korean fonts may name a character table that the file does not contain (ISO 32000-1, 9.7.5.2).
 * Mozilla's pdf.js (pdfjs-dist) has these tables. Idem's package contains a copy of them, because it uses nothing else
 * of that package.
 */
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import { readFile } from "node:fs/promises"
import * as Path from "node:path"
import { getDocument, VerbosityLevel } from "unpdf/pdfjs"
import { Unreadable } from "./Archive.ts"
import { TextBuilder } from "./TextBuilder.ts"

/** The most pages that are read. */
const mostPages = 2000

const copied = Path.join(import.meta.dirname, "cmaps")
const tables = Fs.existsSync(copied)
  ? copied
  : Path.join(Path.dirname(createRequire(import.meta.url).resolve("pdfjs-dist/package.json")), "cmaps")

/** Provides the tables that the reader requests by name, such as `90ms-RKSJ-H.bcmap`. */
class TableFactory {
  async fetch({ filename }: { readonly filename: string }): Promise<Uint8Array> {
    return await readFile(Path.join(tables, Path.basename(filename)))
  }
}

export const read = async (
  bytes: Uint8Array,
  most: number
): Promise<{ readonly text: string; readonly truncated: boolean }> => {
  const loading = getDocument({
    // The library takes ownership of the buffer, so it gets a copy.
    data: new Uint8Array(bytes),
    useSystemFonts: false,
    useWorkerFetch: false,
    BinaryDataFactory: TableFactory,
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
      : new Unreadable("damaged", "it is not a complete PDF")
  } finally {
    await loading.destroy()
  }
}
