import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as RawReader from "../../../src/integrations/gmail/RawReader.ts"
import { runs } from "../../support/Property.ts"

interface Read {
  readonly body: Buffer
  readonly rest: object
}

/** Reads this text in chunks that end at these positions. */
const read = (text: string | Uint8Array, cuts: ReadonlyArray<number> = []): Read => {
  const bytes = Buffer.from(text)
  const reader = RawReader.make()
  const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
  const parts = edges.slice(1).flatMap((end, index) => reader.take(bytes.subarray(edges[index] ?? 0, end)))
  return { body: Buffer.concat(parts), rest: reader.end() }
}

const everyByte = (text: string) => Array.from({ length: Buffer.byteLength(text) }, (_, index) => index)

const problemOf = (text: string | Uint8Array, cuts: ReadonlyArray<number> = []): string | undefined => {
  try {
    read(text, cuts)
    return undefined
  } catch (error) {
    return error instanceof RawReader.Unreadable ? error.what : String(error)
  }
}

const raw = (text: string | Uint8Array) => Buffer.from(text).toString("base64url")

describe("an answer with the bytes of a message", () => {
  const hello = raw("Hello, world")
  const others = {
    id: "18c2",
    labelIds: ["INBOX", 'a,b:"raw":{}'],
    snippet: '“Grüße” \\ "raw":"x"',
    internalDate: "17"
  }
  const orders: ReadonlyArray<readonly [string, string]> = [
    ["first", `{"raw":"${hello}",${JSON.stringify(others).slice(1)}`],
    ["last", `${JSON.stringify(others).slice(0, -1)},"raw":"${hello}"}`],
    ["between the others", `{"id":"18c2","raw":"${hello}",${JSON.stringify({ ...others, id: undefined }).slice(1)}`],
    [
      "among white space",
      `\r\n {\t"id" :\n"18c2" , "raw"\n:\t "${hello}"\r\n,${JSON.stringify({ ...others, id: undefined }).slice(1)} \n`
    ]
  ]
  for (const [name, text] of orders) {
    it(`is read wherever \`raw\` stands: ${name}, cut at any byte`, () => {
      for (const cuts of [[], everyByte(text), ...everyByte(text).map((cut) => [cut])]) {
        const found = read(text, cuts)
        assert.strictEqual(found.body.toString(), "Hello, world")
        assert.deepStrictEqual(found.rest, { ...others, raw: "" })
      }
    })
  }

  it("has escapes, as Google writes them and as nobody does", () => {
    const bytes = Buffer.from([0xfb, 0xff, 0xfe, 0x00, 0x01])
    for (const text of [
      // Google's JSON escapes `=` in this way.
      `{"raw":"-__-AAE\\u003d"}`,
      `{"raw":"+\\/\\/+AAE="}`,
      `{"\\u0072a\\u0077":"\\u002d\\u005f_-AA\\u0045"}`
    ]) {
      for (const cuts of [[], everyByte(text), ...everyByte(text).map((cut) => [cut])]) {
        assert.deepStrictEqual(read(text, cuts).body, bytes)
      }
    }
  })

  it("has only its own `raw`: not one within another field, nor a name that only looks like it", () => {
    const text = JSON.stringify({
      payload: { raw: "inner", parts: [{ raw: "deeper" }] },
      list: ["raw", ["raw"]],
      Raw: "other",
      "raw ": "other",
      raw: hello
    })
    const found = read(text, everyByte(text))
    assert.strictEqual(found.body.toString(), "Hello, world")
    assert.deepStrictEqual(found.rest, { ...(JSON.parse(text) as object), raw: "" })
  })

  it("is refused where its JSON is broken or cut short, whatever was given before", () => {
    const whole = JSON.stringify({ id: "18c2", raw: hello, historyId: "7" })
    for (let end = 0; end < whole.length; end++) assert.isDefined(problemOf(whole.slice(0, end)), `after ${end} bytes`)
    for (const text of [
      `${whole}x`,
      `${whole}${whole}`,
      whole.replace("{", "{{"),
      whole.replace(":", ""),
      whole.replace(",", ""),
      `{"raw":"${hello}" "x"}`,
      `{"raw":"${hello}","raw":"${hello}"}`,
      `{"raw":"AA\\u00zz"}`,
      `{"raw":"AA\\x"}`,
      "<html>Sorry</html>",
      "[]",
      '"raw"'
    ]) {
      assert.strictEqual(problemOf(text), "answer", text)
      assert.strictEqual(problemOf(text, everyByte(text)), "answer", text)
    }
  })

  it("is refused where `raw` is no base64url, or not there", () => {
    for (const value of ["A", "AAAAA", "A=A=", "AA=A", "AA=", "AA===", "A A", "A\nA", "Ä", "AA\\n", 'AA\\"', "AA.AA"]) {
      const text = `{"raw":"${value}"}`
      assert.strictEqual(problemOf(text, everyByte(text)), "body", value)
    }
    for (const text of [`{}`, `{"raw":null}`, `{"raw":{"raw":"AA"}}`, `{"raw":["AA"]}`, `{"raw":7}`]) {
      assert.strictEqual(problemOf(text, everyByte(text)), "body", text)
    }
  })

  it("is refused where its other fields never end", () => {
    assert.strictEqual(problemOf(`{"raw":"${hello}","snippet":"${"x".repeat(2_000_000)}"}`), "answer")
  })

  it.effect.prop(
    "gives any bytes as they are, in any chunks",
    {
      bytes: Schema.Array(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))),
      cuts: Schema.Array(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 200 })))),
      padded: Schema.Boolean
    },
    ({ bytes, cuts, padded }) =>
      Effect.sync(() => {
        const body = Buffer.from(bytes)
        const text = JSON.stringify({ id: "1", raw: padded ? body.toString("base64") : raw(body), labelIds: ["x"] })
        const found = read(
          text,
          cuts.map((cut) => Math.min(cut, text.length))
        )
        assert.isTrue(found.body.equals(body))
      }),
    runs()
  )
})
