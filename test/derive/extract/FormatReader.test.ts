/** The text of each format. */
import { assert, describe, it } from "@effect/vitest"
import iconv from "iconv-lite"
import * as FormatReader from "../../../src/derive/extract/FormatReader.ts"
import * as Files from "./Files.ts"
import { read, textOf } from "./reading.ts"

const bytes = (text: string): Uint8Array => Buffer.from(text)

describe("the text of a file", () => {
  it("is that of a PDF, whatever its name and media type claim", async () => {
    const found = await read(Files.pdf("Invoice 4711", "Total 12 EUR"), "text/plain", "invoice.txt")
    assert.deepStrictEqual([found.format, found.text], ["pdf", "Invoice 4711\nTotal 12 EUR"])
  })

  // SylphxAI/pdf-reader-mcp#250: these words are lost without the tables of their fonts.
  for (const [encoding, ordering, bytes, text] of [
    ["90ms-RKSJ-H", "Japan1", iconv.encode("日本語", "shift_jis"), "日本語"],
    ["GBK-EUC-H", "GB1", iconv.encode("中文", "gbk"), "中文"],
    ["UniJIS-UCS2-H", "Japan1", iconv.encode("日本語", "utf-16be", { addBOM: false }), "日本語"]
  ] as const) {
    it(`is that of a PDF with a font whose characters are in ${encoding}`, async () => {
      assert.strictEqual(await textOf(Files.cjkPdf(encoding, ordering, bytes)), `Latin\n${text}`)
    })
  }

  it("is that of a Word document, with tables, notes and escaped characters", async () => {
    assert.strictEqual(await textOf(Files.docx("Dear Ann &amp; Bob", "second")), "Dear Ann & Bob\nsecond")
  })

  it("is that of a spreadsheet, by sheet and row, with shared and inline texts and numbers", async () => {
    const file = Files.zip({
      "[Content_Types].xml": "<Types/>",
      "xl/workbook.xml": `<workbook><sheets><sheet name="Budget" sheetId="1"/></sheets></workbook>`,
      "xl/sharedStrings.xml": "<sst><si><t>Rent</t></si><si><r><t>Foo</t></r><r><t>bar</t></r></si></sst>",
      "xl/worksheets/sheet1.xml": `<worksheet><sheetData><row><c t="s"><v>0</v></c><c><v>950.5</v></c></row>
        <row><c t="s"><v>1</v></c><c t="inlineStr"><is><t>inline</t></is></c></row></sheetData></worksheet>`
    })
    assert.strictEqual(await textOf(file), "Budget\nRent\t950.5\nFoobar\tinline")
  })

  it("is that of slides in their order", async () => {
    const slide = (text: string) => `<p:sld><a:p><a:r><a:t>${text}</a:t></a:r></a:p></p:sld>`
    const file = Files.zip({
      "ppt/presentation.xml": "<p/>",
      "ppt/slides/slide10.xml": slide("ten"),
      "ppt/slides/slide2.xml": slide("two")
    })
    assert.strictEqual(await textOf(file), "two\nten")
  })

  it("is that of an OpenDocument text", async () => {
    const file = Files.zip({
      mimetype: "application/vnd.oasis.opendocument.text",
      "content.xml": `<office:body><text:h>Head</text:h><text:p>one<text:s/>two<text:tab/>three</text:p></office:body>`
    })
    assert.strictEqual(await textOf(file), "Head\none two\tthree")
  })

  it("is that of a book's chapters in the order of its spine", async () => {
    const file = Files.zip({
      mimetype: "application/epub+zip",
      "META-INF/container.xml": "<container/>",
      "OPS/book.opf": `<package><manifest><item id="a" href="z%20first.xhtml"/><item id="b" href="a-second.xhtml"/></manifest>
        <spine><itemref idref="a"/><itemref idref="b"/></spine></package>`,
      "OPS/a-second.xhtml": "<html><body><p>second</p></body></html>",
      "OPS/z first.xhtml": "<html><body><p>first</p></body></html>"
    })
    assert.strictEqual(await textOf(file), "first\nsecond")
  })

  it("is the list of names of another archive", async () => {
    assert.strictEqual(
      await textOf(Files.zip({ "plans/roof.dwg": "x", "readme.txt": "y" })),
      "plans/roof.dwg\nreadme.txt"
    )
  })

  it("is what a reader of HTML sees, without scripts, styles and hidden previews", async () => {
    const page = `<!doctype html><html><head><title>Offer</title><style>p{}</style></head><body>
      <div style="display:none">preheader</div><p>One &amp; two</p><table><tr><td>a</td><td>b</td></tr></table>
      <script>alert(1)</script><img alt="a roof" src=x><ul><li>first<li>second</ul></body></html>`
    assert.strictEqual(await textOf(page), "Offer\nOne & two\na\tb\na roof\nfirst\nsecond")
  })

  // HTML Standard, 13.2.6.4.4: any element that is not allowed in a head ends the head, and so does text.
  it("is that of HTML whose head is not closed", async () => {
    assert.strictEqual(await textOf("<html><head><style>p{}</style><p>Hi there</p></html>"), "Hi there")
    assert.strictEqual(await textOf("<html><head><title>T</title><div>Hello</div></html>"), "T\nHello")
    assert.strictEqual(await textOf("<html><head><title>T</title>Hello</html>"), "T\nHello")
    assert.strictEqual(await textOf("<html><body>A<svg><title>icon</title></svg>B</body></html>"), "AB")
  })

  it("is the text of XML, of which no entity is expanded", async () => {
    const bomb = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r><x>one</x><x>&b;</x></r>`
    assert.strictEqual(await textOf(bomb), "one\n&b;")
  })

  it("is what people write into a calendar and an address card", async () => {
    const calendar = [
      "BEGIN:VCALENDAR",
      "BEGIN:VEVENT",
      "UID:1",
      "SUMMARY:Roof\\, second",
      " visit",
      'ORGANIZER;CN="Ann: Smith":mailto:ann@example.com',
      "DESCRIPTION:Bring\\nladders",
      "END:VEVENT"
    ].join("\r\n")
    assert.strictEqual(await textOf(calendar), "Roof, secondvisit\nAnn: Smith ann@example.com\nBring\nladders")
    const card = "BEGIN:VCARD\r\nVERSION:3.0\r\nitem1.FN:Bob Miller\r\nORG:Acme;Sales\r\nPHOTO:AAAA\r\nEND:VCARD"
    assert.strictEqual(await textOf(card), "Bob Miller\nAcme Sales")
  })

  // vCard 2.1, which phones still write.
  it("is that of an address card in quoted-printable", async () => {
    const card = [
      "BEGIN:VCARD",
      "VERSION:2.1",
      "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=D0=98=D0=B2=D0=B0=D0=BD;=D0=98",
      "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:Gr=FC=",
      "=DFe",
      "TEL:123",
      "END:VCARD"
    ].join("\r\n")
    assert.strictEqual(await textOf(card), "Иван И\nGrüße\n123")
  })

  it("is decoded by its mark, as UTF-8, by its declaration, or as windows-1252", async () => {
    assert.strictEqual(await textOf(iconv.encode("\ufeffgrüße", "utf-16le"), "text/plain"), "grüße")
    assert.strictEqual(await textOf("grüße", "text/plain; charset=iso-8859-1"), "grüße")
    assert.strictEqual(await textOf(iconv.encode("привет", "koi8-r"), "text/plain; charset=KOI8-R"), "привет")
    assert.strictEqual(await textOf(iconv.encode("grüße", "latin1"), "text/csv"), "grüße")
    const declared = iconv.encode(`<html><meta charset="shift_jis"><p>日本語</p></html>`, "shift_jis")
    assert.strictEqual(await textOf(declared), "日本語")
  })

  // A log of megabytes with one wrong byte.
  it("stays UTF-8 where a few bytes are none", async () => {
    const log = Buffer.concat([bytes("Größe Übergröße Café\n".repeat(3)), Buffer.from([0xff]), bytes("\nGröße")])
    assert.include(await textOf(log), "Größe Übergröße Café")
    assert.strictEqual(await textOf(bytes("Größe").subarray(0, 5), "text/plain; charset=utf-8"), "Grö\ufffd")
  })

  it("has no NUL, no other controls and no half characters", async () => {
    assert.strictEqual(await textOf("a\u0001b\r\nc\ud83d"), "ab\nc\ufffd")
  })

  it("is cut at its bound, and says so", async () => {
    const found = await read("x".repeat(FormatReader.mostText + 1))
    assert.deepStrictEqual([found.text?.length, found.truncated], [FormatReader.mostText, true])
    const html = await read(`<html><body>${"<p>word word".repeat(100_000)}`)
    assert.deepStrictEqual([(html.text?.length ?? 0) <= FormatReader.mostText, html.truncated], [true, true])
  })

  it("is cut where an archive lies about a size, and is refused where it claims too much", async () => {
    const archive = Files.zip({ "word/document.xml": `<w:p><w:t>${"x".repeat(1000)}</w:t></w:p>` })
    assert.strictEqual((await textOf(Files.claiming(archive, 110))).length, 100)
    assert.strictEqual((await read(Files.claiming(archive, 65_000_000))).reason, "too-large")
  })

  it("is null with a reason if there is none", async () => {
    const reason = async (...args: Parameters<typeof read>) => (await read(...args)).reason
    assert.strictEqual(await reason(Buffer.from([0x89, 0x50, 0, 0]), "image/png"), "unsupported")
    assert.strictEqual(await reason(Buffer.from("d0cf11e0a1b11ae1", "hex")), "unsupported")
    assert.strictEqual(await reason(Files.pdf("x").subarray(0, 40)), "damaged")
    assert.deepStrictEqual(
      [(await read(Files.pdf())).reason, (await read(Files.pdf())).message],
      ["unsupported", "its pages have no text: they may be scanned"]
    )
    assert.strictEqual(await reason(Files.docx("x").subarray(0, 100)), "damaged")
    assert.strictEqual(await textOf(Buffer.from("name;größe", "utf16le"), "text/csv; charset=utf-16le"), "name;größe")
    const beginning = await FormatReader.text(Files.pdf("x"), { mediaType: undefined, fileName: undefined }, true)
    assert.strictEqual(beginning.reason, "too-large")
  })
})
