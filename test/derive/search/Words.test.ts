/** Texts and queries are split into the same words, in a database of any locale. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TextExtractor from "../../../src/derive/extract/TextExtractor.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import { running } from "../../stores/scenario.ts"
import * as Database from "../../support/Postgres.ts"
import { found, layer, type Mail, search, store } from "./Scenario.ts"

/** Texts, each with queries that find it. */
const cases: ReadonlyArray<readonly [text: string, ...queries: ReadonlyArray<string>]> = [
  ["He said “chimney” to all", "chimney", "“chimney”"],
  ["the garden—finally", "garden", "finally", '"garden finally"'],
  ["wait… perhaps", "wait", "wait…"],
  ["« bonjour » et «salut»", "bonjour", "salut", "«salut»"],
  ["„Haus“ am See", "haus", "„Haus am“"],
  ["•apples •pears", "apples", "pears"],
  ["about €450", "450", "€450"],
  ["hello😀world👨‍👩‍👧", "hello", "world", "😀 world"],
  ["price\u00a0100\u3000total", "price", "100", "price\u3000total"],
  ["the company’s and the firm's", "company", "company’s", "company's", "firm", "firm’s"],
  ["（preis）：２００，ｅｎｄｅ", "preis", "２００"],
  ["Invoice INV-2024-001, of 2019-2021", "2024", "001", "INV-2024-001", "2024-001", "2019", "2021", "2019–2021"],
  ["Call +49-170-5551234", "5551234", "+49-170-5551234", "170"],
  ["Node.js at the end.Next", "node", "node.js", "end", "next"],
  ["quarterly.pdf and meeting.notes.final", "quarterly", "quarterly.pdf", "notes"],
  ["mail carl@beispiel.net now", "carl", "beispiel", "beispiel.net", "carl@beispiel.net", '"carl@beispiel.net"'],
  ["https://shop.markt.net/a?b=c&d=e", "shop", "shop.markt.net", "https://shop.markt.net/a?b=c&d=e", "d=e"],
  ["Infor\u00admation, Donau\u200bdampf", "information", "donaudampf", "Infor\u00admation"],
  ["Cafe\u0301 \u30ac\u30ab\u3099", "café", "cafe\u0301", "cafe", "\u30ac\u30ac"],
  ["pi is 3.14 and -273.15", "3.14", "273", "-nowhere 273.15"],
  ["and/or on_top C++ a\\b", "and", "on", "top", "a\\b"],
  ["हिन्दी में लिखा", "हिन्दी"],
  ["Привет, «МИР»", "привет", "мир"],
  ["会議の録音。", "録音", "会議"],
  ["회의록을 보내 드립니다", "회의록", "회의록을", "보내 드립니다"],
  ["شُكْرًا جزيلًا", "شكرا", "شُكْرًا"],
  ["أحمد، المدرســة", "احمد", "المدرسه", "المدرسة"],
  ["שָׁלוֹם לכולם", "שלום", "שָׁלוֹם"],
  ["a responsibility", "respons*", '"a responsibility"']
]

const mails: Readonly<Record<string, Mail>> = Object.fromEntries(
  cases.map(([text], index) => [
    `m${index}`,
    { subject: `Subject ${index}`, text, files: { [`Q${index}~akte.txt`]: "x" } }
  ])
)

const suite = (name: string, database: typeof layer) =>
  it.layer(database, { excludeTestServices: true })(name, (it) => {
    it.effect("finds every word that a person sees, and shows it", () =>
      Effect.gen(function* () {
        const run = yield* running()
        const of = { connectionIds: [run.id] }
        yield* store(run, mails)
        const missed: Array<string> = []
        for (const [index, [, ...queries]] of cases.entries()) {
          for (const query of queries) {
            if (!(yield* found(query, of)).includes(`m${index}`)) missed.push(query)
          }
        }
        assert.deepStrictEqual(missed, [])
        assert.deepStrictEqual(yield* found("filename:akte filename:q3", of), ["m3"])
        assert.deepStrictEqual(yield* found("😀", of), [])
        const marked = Effect.fnUntraced(function* (query: string) {
          const { results } = yield* search(query, of)
          return results.flatMap(({ highlights, snippet }) => highlights.map(([from, to]) => snippet?.slice(from, to)))
        })
        assert.deepStrictEqual(yield* marked("chimney"), ["chimney"])
        assert.deepStrictEqual(yield* marked("information"), ["Infor\u00admation"])
        assert.deepStrictEqual(yield* marked("beispiel.net"), ["beispiel.net"])
        assert.deepStrictEqual(yield* marked("录音 OR 録音"), ["録音"])
        assert.deepStrictEqual(yield* marked("d=e"), ["d=e"])
      })
    )
  })

suite("words, in the embedded database's locale", layer)
suite(
  "words, in the locale of a system",
  Layer.mergeAll(
    Postgres.layer.pipe(
      Layer.provide(Blobs.layer),
      Layer.provideMerge(
        Layer.effectDiscard(Postgres.migrate).pipe(Layer.provideMerge(Database.layerOfLocale("C.UTF-8")))
      )
    ),
    TextExtractor.layer
  )
)
