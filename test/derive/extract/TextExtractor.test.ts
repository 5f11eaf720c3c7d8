/** A hostile file uses up its thread's limits, and the next file is read. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TextExtractor from "../../../src/derive/extract/TextExtractor.ts"
import * as Files from "./Files.ts"

const source = (bytes: Uint8Array, mediaType?: string): TextExtractor.Source<never> => ({
  size: bytes.length,
  mediaType,
  fileName: undefined,
  bytes: ({ end }) => Stream.make(bytes.subarray(0, end))
})

const small = Layer.effect(
  TextExtractor.TextExtractor,
  TextExtractor.make({ longest: Duration.minutes(1), megabytes: 64, atOnce: 1 })
)

const extract = (bytes: Uint8Array, mediaType?: string) =>
  TextExtractor.TextExtractor.use((extractor) => extractor.extract(source(bytes, mediaType)))

const plain = "Content-Type: text/plain\r\n\r\nthe text"

describe("the extractor", () => {
  layer(small, { excludeTestServices: true })((it) => {
    it.effect("reads the attachments around one that takes too much memory", () =>
      Effect.gen(function* () {
        const email = Files.mail(
          "Bomb",
          plain,
          Files.attachment("a.pdf", "application/pdf", Files.pdf("first")),
          Files.attachment("bomb.pdf", "application/pdf", Files.pdfBomb(15)),
          Files.attachment("c.txt", "text/plain", Buffer.from("last"))
        )
        const { parts, text } = yield* extract(email, "message/rfc822")
        assert.strictEqual(text.text, "the text")
        assert.deepStrictEqual(
          parts.map((part) => [part.fileName, part.text, part.reason]),
          [
            ["a.pdf", "first", null],
            ["bomb.pdf", null, "memory"],
            ["c.txt", "last", null]
          ]
        )
      })
    )

    it.effect("reads two million characters of an email and its attachments, and says what it left", () =>
      Effect.gen(function* () {
        const parts = Array.from({ length: 7 }, (_, index) =>
          Files.attachment(`${index}.txt`, "text/plain", Buffer.from(String(index).repeat(400_000)))
        )
        const { parts: found, text } = yield* extract(Files.mail("Long", plain, ...parts), "message/rfc822")
        assert.deepStrictEqual(
          [text, ...found].map((one) => [one.text?.length ?? 0, one.truncated, one.reason]),
          [
            [8, false, null],
            ...Array.from({ length: 4 }, () => [400_000, false, null]),
            [399_992, true, null],
            [0, false, "too-large"],
            [0, false, "too-large"]
          ]
        )
      })
    )

    it.effect("reads an email of 10,000 parts, and refuses one whose parts nest 10,000 deep", () =>
      Effect.gen(function* () {
        const parts = Array.from({ length: 10_000 }, () => "Content-Disposition: attachment\r\n\r\nx")
        const wide = yield* extract(Files.mail("Wide", plain, ...parts))
        assert.strictEqual(wide.text.text, "the text")
        assert.isBelow(wide.parts.length, 10_000)
        const nested = Array.from(
          { length: 10_000 },
          (_, index) => `Content-Type: multipart/mixed; boundary="b${index}"\r\n\r\n--b${index}\r\n`
        ).join("")
        const deep = yield* extract(Buffer.from(`From: a@example.com\r\nSubject: Deep\r\n${nested}`))
        assert.strictEqual(deep.text.reason, "damaged")
      })
    )
  })

  // Gmail accepts emails of 50 MB, and Exchange of 150 MB. The email's own text comes first.
  it.live("reads the text and the whole attachments at the beginning of an email of more than 32 MB", () =>
    Effect.gen(function* () {
      const extractor = yield* TextExtractor.TextExtractor
      const email = Files.mail(
        "Large",
        plain,
        Files.attachment("a.pdf", "application/pdf", Files.pdf("first")),
        Files.attachment("film.mp4", "video/mp4", Buffer.alloc(3_000_000, 1)),
        Files.attachment("last.txt", "text/plain", Buffer.from("last"))
      )
      const { parts, text } = yield* extractor.extract({
        ...source(email, "message/rfc822"),
        size: TextExtractor.mostBytes + 1
      })
      assert.deepStrictEqual([text.text, text.truncated, text.reason], ["the text", true, null])
      assert.deepStrictEqual(
        parts.map(({ fileName, reason, sha256, size, text }) => [
          fileName,
          text,
          reason,
          size !== null,
          sha256 !== null
        ]),
        [
          ["a.pdf", "first", null, true, true],
          ["film.mp4", null, "too-large", false, false]
        ]
      )
    }).pipe(Effect.provide(TextExtractor.layer))
  )

  it.live("reads only the beginning of a long text", () =>
    Effect.gen(function* () {
      let asked = 0
      const extractor = yield* TextExtractor.TextExtractor
      const { text } = yield* extractor.extract({
        size: TextExtractor.mostBytes + 1,
        mediaType: "text/plain",
        fileName: "long.log",
        bytes: ({ end }) => {
          asked = end
          return Stream.make(new TextEncoder().encode("the beginning"))
        }
      })
      assert.deepStrictEqual([text.text, text.truncated], ["the beginning", true])
      assert.isBelow(asked, TextExtractor.mostBytes)
    }).pipe(Effect.provide(TextExtractor.layer))
  )
})
