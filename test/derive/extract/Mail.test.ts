/** The texts of emails and of their attachments. */
import { assert, describe, it } from "@effect/vitest"
import iconv from "iconv-lite"
import * as FormatReader from "../../../src/derive/extract/FormatReader.ts"
import * as Files from "./Files.ts"
import { read, textOf } from "./reading.ts"

const bytes = (text: string): Uint8Array => Buffer.from(text)

const readMail = async (content: Uint8Array) => {
  const email = await FormatReader.mail(content, FormatReader.mostText, 0)
  return { email, parts: await Promise.all(email.parts.map((_, index) => email.read(index, FormatReader.mostText))) }
}

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
    const { email, parts } = await readMail(bytes)
    assert.strictEqual(email.text.text, "Hello Bob")
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

  // SpamScope/mail-parser#45, cyrus-imapd#5294: charsets that are declared wrongly, vaguely, or only in the HTML.
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

  // Parts from real mail, and the text that Python's `email.parser` finds in them.
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
    // Python's StartBoundaryNotFoundDefect, which two emails of the SpamAssassin corpus have.
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
    const { parts } = await readMail(email)
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
