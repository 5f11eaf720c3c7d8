/** Files of the supported formats, made byte by byte. */
import { deflateSync } from "node:zlib"
import { strToU8, zipSync } from "fflate"

/** Makes a PDF of these objects (ISO 32000-1, 7.5); the first is the catalog. */
const pdfOf = (objects: ReadonlyArray<string>): Uint8Array => {
  let text = "%PDF-1.4\n"
  const offsets = objects.map((object, index) => {
    const offset = text.length
    text += `${index + 1} 0 obj\n${object}\nendobj\n`
    return offset
  })
  const table = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`).join("")
  const end = `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer\n<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${text.length}\n%%EOF`
  return Buffer.from(text + end, "latin1")
}

const page = (content: string): ReadonlyArray<string> => [
  "<</Type/Catalog/Pages 2 0 R>>",
  "<</Type/Pages/Kids[3 0 R]/Count 1>>",
  "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
  content,
  "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
]

/** Makes a page with these lines. */
export const pdf = (...lines: ReadonlyArray<string>): Uint8Array => {
  const stream = `BT /F1 12 Tf 50 700 Td ${lines.map((line) => `(${line}) Tj 0 -20 Td`).join(" ")} ET`
  return pdfOf(page(`<</Length ${stream.length}>>\nstream\n${stream}\nendstream`))
}

/** Makes a page with a line of Latin letters and, below, a line in a font of this encoding, which is not embedded. */
export const cjkPdf = (encoding: string, ordering: string, text: Uint8Array): Uint8Array => {
  const stream = `BT /F2 12 Tf 10 140 Td (Latin) Tj /F1 12 Tf 0 -40 Td <${Buffer.from(text).toString("hex")}> Tj ET`
  return pdfOf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Kids[3 0 R]/Count 1>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R/F2 8 0 R>>>>>>",
    `<</Length ${stream.length}>>\nstream\n${stream}\nendstream`,
    `<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/${encoding}/DescendantFonts[6 0 R]>>`,
    `<</Type/Font/Subtype/CIDFontType0/BaseFont/X/FontDescriptor 7 0 R/DW 1000
      /CIDSystemInfo<</Registry(Adobe)/Ordering(${ordering})/Supplement 2>>>>`,
    `<</Type/FontDescriptor/FontName/X/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0/Ascent 800/Descent -200
      /CapHeight 700/StemV 80>>`,
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
  ])
}

/** Makes a page of a few kilobytes with an array of this many millions of numbers, which the heap has to hold. */
export const pdfBomb = (millions: number): Uint8Array => {
  const content = Buffer.concat([Buffer.from("BT ["), Buffer.alloc(millions * 2_000_000, "1 "), Buffer.from("] TJ ET")])
  const stream = deflateSync(content, { level: 9 }).toString("latin1")
  return pdfOf(page(`<</Length ${stream.length}/Filter/FlateDecode>>\nstream\n${stream}\nendstream`))
}

/** Makes a ZIP archive of these texts. */
export const zip = (files: Readonly<Record<string, string>>): Uint8Array =>
  zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, strToU8(text)])))

export const docx = (...paragraphs: ReadonlyArray<string>): Uint8Array =>
  zip({
    "[Content_Types].xml": "<Types/>",
    "word/document.xml": `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="w"><w:body>${paragraphs
      .map((text) => `<w:p><w:r><w:t xml:space="preserve">${text}</w:t></w:r></w:p>`)
      .join("")}</w:body></w:document>`
  })

/** Changes an archive so that its directory claims another size for the entry's content (APPNOTE 4.3.12, 4.4.9). */
export const claiming = (archive: Uint8Array, size: number): Uint8Array => {
  const bytes = Buffer.from(archive)
  const directory = bytes.lastIndexOf("PK\u0001\u0002", undefined, "latin1")
  bytes.writeUInt32LE(size, directory + 24)
  return bytes
}

/** Makes an email with these parts. */
export const mail = (subject: string, ...parts: ReadonlyArray<string>): Uint8Array => {
  const boundary = `of-${subject}`
  return Buffer.from(
    [
      "From: Carl <carl@example.com>",
      `Subject: ${subject}`,
      "MIME-Version: 1.0",
      `Content-Type: multipart/mixed; boundary="${boundary}"`,
      "",
      ...parts.flatMap((part) => [`--${boundary}`, part]),
      `--${boundary}--`,
      ""
    ].join("\r\n")
  )
}

export const attachment = (name: string, mediaType: string, bytes: Uint8Array): string =>
  [
    `Content-Type: ${mediaType}`,
    `Content-Disposition: attachment; filename="${name}"`,
    "Content-Transfer-Encoding: base64",
    "",
    Buffer.from(bytes).toString("base64")
  ].join("\r\n")
