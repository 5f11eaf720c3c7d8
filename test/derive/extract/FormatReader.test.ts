/** The text of each format. */
import { assert, describe, it } from "@effect/vitest"
import iconv from "iconv-lite"
import * as FormatReader from "../../../src/derive/extract/FormatReader.ts"
import * as Files from "./Files.ts"

const bytes = (text: string): Uint8Array => Buffer.from(text)

const read = (content: Uint8Array | string, mediaType?: string, fileName?: string) =>
  FormatReader.text(typeof content === "string" ? bytes(content) : content, { mediaType, fileName }, false)

const textOf = async (...args: Parameters<typeof read>): Promise<string> => {
  const found = await read(...args)
  assert.isNull(found.message)
  return found.text ?? ""
}

describe("the text of a file", () => {
  it("is that of a PDF, whatever its name and media type claim", async () => {
    const found = await read(Files.pdf("Invoice 4711", "Total 12 EUR"), "text/plain", "invoice.txt")
    assert.deepStrictEqual([found.format, found.text], ["pdf", "Invoice 4711\nTotal 12 EUR"])
  })

  // SylphxAI/pdf-reader-mcp#250: such words are lost without the tables of their fonts.
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

  // HTML Standard, 13.2.6.4.4: any element that a head can't have ends it, and so does text.
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

  // A log of megabytes in which a program has written one wrong byte.
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

  it("is a reason where there is none", async () => {
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

describe("the text of an email", () => {
  it("is its plain text, or the text of its HTML, and each attachment has its own", async () => {
    const inner = Files.mail("Inner", "Content-Type: text/plain\r\n\r\ndeep")
    const bytes = Files.mail(
      "Outer",
      "Content-Type: text/html\r\n\r\n<p>Hello <b>Bob</b></p>",
      Files.attachment("offer.pdf", "application/octet-stream", Files.pdf("Offer 9")),
      Files.attachment("photo.jpg", "image/jpeg", Buffer.from([0xff, 0xd8, 0, 0])),
      `Content-Type: message/rfc822\r\n\r\n${Buffer.from(inner).toString()}`
    )
    const email = await FormatReader.mail(bytes, FormatReader.mostText, 0)
    assert.strictEqual(email.text.text, "Hello Bob")
    const parts = await Promise.all(email.parts.map((_, index) => email.read(index, FormatReader.mostText)))
    assert.deepStrictEqual(
      parts.map(({ fileName, format, reason, text }) => [fileName, format, text, reason]),
      [
        ["offer.pdf", "pdf", "Offer 9", null],
        ["photo.jpg", "binary", null, "unsupported"],
        [null, "mail", "Inner\nCarl carl@example.com\n\ndeep", null]
      ]
    )
  })

  const declaring = (type: string, body: Uint8Array, transfer = "8bit"): Uint8Array =>
    Buffer.concat([
      Buffer.from(`From: a@example.com\r\nSubject: x\r\nContent-Type: ${type}\r\n`),
      Buffer.from(`Content-Transfer-Encoding: ${transfer}\r\n\r\n`),
      body
    ])
  const german = "Grüße aus München"
  const japanese = Buffer.from("\u001b$BF|K\\8l\u001b(B", "latin1")

  // SpamScope/mail-parser#45, cyrus-imapd#5294: charsets that are declared wrongly, vaguely, or in the HTML only.
  const bodies: ReadonlyArray<readonly [type: string, body: Uint8Array, text: string]> = [
    ["text/plain", bytes(german), german],
    ["text/plain; charset=us-ascii", bytes(german), german],
    ["text/plain; charset=unknown-8bit", bytes(german), german],
    ["text/plain", Buffer.from(german, "latin1"), german],
    ["text/plain; charset=utf-8", Buffer.from(german, "latin1"), german],
    ["text/plain; charset=utf-7", bytes("Gr+APwA3w-e"), "Grüße"],
    ["text/plain; charset=cp850", iconv.encode(german, "cp850"), german],
    ["text/plain; charset=ks_c_5601-1987", iconv.encode("안녕하세요", "euc-kr"), "안녕하세요"],
    ["text/plain; charset=cp932", iconv.encode("日本語", "cp932"), "日本語"],
    ["text/plain; charset=iso-2022-jp", japanese, "日本語"],
    ["text/html", iconv.encode(`<meta charset=koi8-r><p>Привет`, "koi8-r"), "Привет"],
    ["text/html; charset=us-ascii", iconv.encode(`<meta charset=koi8-r><p>Привет`, "koi8-r"), "Привет"],
    ["text/plain; charset=utf-8; format=flowed", bytes(`Grüße \r\naus`), "Grüße aus"]
  ]
  for (const [type, body, text] of bodies) {
    it(`is decoded where its type is ${type} and its bytes are ${Buffer.from(body).toString("hex", 0, 8)}`, async () => {
      assert.strictEqual((await FormatReader.mail(declaring(type, body), 1000, 0)).text.text, text)
    })
  }

  // Parts as real mail has them, and what Python's `email.parser` takes for the text.
  const multipart = 'From: a@example.com\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary="of parts"\r\n\r\n'
  const malformed: ReadonlyArray<readonly [what: string, email: string, text: string]> = [
    [
      "has words before its parts and after them",
      `${multipart}Your program reads no MIME.\r\n--of parts\r\n\r\nthe text\r\n--of parts--\r\nthe end\r\n`,
      "the text"
    ],
    [
      "does not end its last part",
      `${multipart}--of parts\r\nContent-Type: text/plain\r\n\r\nthe text\r\n`,
      "the text"
    ],
    // Python's StartBoundaryNotFoundDefect. Of the SpamAssassin corpus, two emails.
    [
      "has parts by another boundary than it declares",
      `${multipart}No MIME?\r\n\r\n--= of parts\r\nContent-Type: text/plain\r\n\r\nthe text\r\n--= of parts--\r\n`,
      "No MIME?\n\n--= of parts\nContent-Type: text/plain\n\nthe text\n--= of parts--"
    ],
    [
      "has an empty line in its header",
      "From: a@example.com\r\nMIME-Version: 1.0\r\n\r\nContent-Type: text/plain\r\n\r\nthe text\r\n",
      "Content-Type: text/plain\n\nthe text"
    ]
  ]
  for (const [what, email, text] of malformed) {
    it(`is read where it ${what}`, async () => {
      assert.strictEqual((await FormatReader.mail(bytes(email), 1000, 0)).text.text, text)
    })
  }

  it("has attachments in the charsets that it declares", async () => {
    const files: ReadonlyArray<readonly [type: string, body: Uint8Array]> = [
      ["text/plain; charset=koi8-r", iconv.encode("Привет мир", "koi8-r")],
      ["text/csv; charset=Shift_JIS", iconv.encode("日本語,請求書", "shift_jis")],
      ["text/plain; charset=iso-2022-jp", japanese],
      ["text/calendar; charset=iso-8859-1", Buffer.from("BEGIN:VCALENDAR\r\nSUMMARY:Grüße", "latin1")]
    ]
    const email = Files.mail("Files", ...files.map(([type, body]) => Files.attachment("a.txt", type, body)))
    const found = await FormatReader.mail(email, FormatReader.mostText, 0)
    const parts = await Promise.all(found.parts.map((_, index) => found.read(index, FormatReader.mostText)))
    assert.deepStrictEqual(
      parts.map(({ text }) => text),
      ["Привет мир", "日本語,請求書", "日本語", "Grüße"]
    )
  })

  it("is read where it has a NUL, and where it has millions of lines", async () => {
    const nul = "Subject: a\0b\r\nFrom: a@example.com\r\n\r\nthe\0 body"
    assert.strictEqual((await read(nul, "message/rfc822")).format, "mail")
    assert.include(await textOf(nul, "message/rfc822"), "the body")
    assert.strictEqual((await read(nul, "application/x")).format, "binary")
    const lines = await FormatReader.mail(bytes(`From: a@example.com\n\nfirst${"\n".repeat(4_200_000)}last`), 5e6, 0)
    assert.strictEqual(lines.text.text, "first\n\nlast")
  })

  it("is found without a media type, by the fields that it begins with", async () => {
    const email = "Received: from x\r\nSubject: Hi\r\n\r\nthe body"
    assert.deepStrictEqual([(await read(email)).format, await textOf(email)], ["mail", "Hi\n\nthe body"])
  })

  it("reads equal attachments once", async () => {
    const costly = Files.zip({ "word/document.xml": `<w:p>${" ".repeat(50_000_000)}<w:t>x</w:t></w:p>` })
    const parts = Array.from({ length: 40 }, (_, index) =>
      Files.attachment(`${index}.docx`, "application/octet-stream", costly)
    )
    const email = await FormatReader.mail(Files.mail("Copies", ...parts), FormatReader.mostText, 0)
    const cost = async (indexes: ReadonlyArray<number>) => {
      const before = process.threadCpuUsage()
      for (const index of indexes) assert.strictEqual((await email.read(index, 10)).text, "x")
      const { system, user } = process.threadCpuUsage(before)
      return system + user
    }
    const first = await cost([0])
    assert.isBelow(await cost(parts.map((_, index) => index)), first * 10)
  })
})
