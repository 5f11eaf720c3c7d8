/** Emails in responses. A browser test checks that no part of them runs (test/dashboard). */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Hostile from "../../dashboard/Hostile.ts"
import { connection, contentRow, layer, TestServer } from "../../support/HttpServer.ts"

const live = { excludeTestServices: true } as const

const trap = "http://trap.example"

const stored: Readonly<Record<string, { readonly mediaType: string; readonly text: string; readonly size?: number }>> =
  {
    hostile: { mediaType: "message/rfc822", text: Hostile.email(trap) },
    plain: { mediaType: "message/rfc822", text: "Subject: Only text\r\n\r\n1 < 2 && <b>not bold</b>\r\n" },
    pictures: {
      mediaType: "message/rfc822",
      text: [
        "Content-Type: text/html",
        "",
        ...[
          "A &amp; B",
          "&lt;b onclick=1&gt;not bold&lt;/b&gt;",
          "&amp;lt;i&amp;gt;",
          "&quot; &#39;",
          "<script>1</script>"
        ].map((alt) => `<img src="${trap}/picture" alt="${alt}">`),
        // Deeper than the limit for elements: the text of an omitted element stays.
        `${"<div>".repeat(250)}<img src="${trap}/deep" alt="&lt;s&gt; &amp; deep">`
      ].join("\r\n")
    },
    empty: { mediaType: "message/rfc822", text: "" },
    file: { mediaType: "text/html", text: "<script>1</script>" },
    large: { mediaType: "message/rfc822", text: "", size: 10_000_001 },
    headers: { mediaType: "message/rfc822", text: `X: ${"y".repeat(600_000)}\r\n\r\nbody` }
  }

/** The hash of each body is the id of its content. */
const faults = {
  store: (): Partial<WholeStore> => ({
    connectionByName: () => Effect.succeedSome(connection),
    content: (_, externalId) => {
      const found = stored[externalId]
      if (found === undefined) return Effect.succeedNone
      const { mediaType, size = Buffer.byteLength(found.text) } = found
      return Effect.succeed(Option.some(contentRow({ externalId, hash: externalId, mediaType, size })))
    },
    body: (hash) => Stream.make(Buffer.from(stored[hash]?.text ?? ""))
  })
}

it.layer(layer({ faults }), live)("stored emails", (it) => {
  const at = (id: string, rest = "") => `/connections/any/content/email${rest}?externalId=${id}`

  it.effect("are pages that hold nothing that could run, load or lead away", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const page = yield* ask(at("hostile"))
      assert.strictEqual(page.status, 200)
      const policy = String(page.headers["content-security-policy"])
      assert.match(policy, /^sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; img-src data:;/)
      assert.match(policy, /form-action 'none'; frame-ancestors 'self'$/)
      const body = page.text.slice(page.text.indexOf("<body>"))
      assert.match(body, /<h1>Quarterly report<\/h1>/)
      assert.match(body, /color:#123456;padding:4px/)
      assert.match(body, /src="data:image\/png;base64,/)
      assert.notMatch(
        body,
        /<(?:script|style|link|meta|base|iframe|object|embed|form|input|svg|math|video|audio|template)/i
      )
      assert.notMatch(body, /\s(?:on\w+|href|srcset|action|background|srcdoc|ping|target|class|id)=/i)
      assert.notMatch(body, /url\(|image-set|position|javascript:/i)
      // The target of a link is shown as text, and is not in an attribute that a browser loads.
      assert.deepStrictEqual(
        [...body.matchAll(/\S*="http[^"]*"/g)].map(([attribute]) => attribute),
        [`title="${trap}/followed"`, `title="${trap}/named"`]
      )
    })
  )

  it.effect("say what they consist of, and give their attachments as downloads", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const { json } = yield* ask(at("hostile", "/parts"))
      const parts = json as {
        readonly subject: string
        readonly blocked: number
        readonly links: ReadonlyArray<unknown>
        readonly attachments: ReadonlyArray<{
          readonly part: string
          readonly name: string
          readonly mediaType: string
        }>
      }
      assert.strictEqual(parts.subject, Hostile.markup(trap))
      assert.isAbove(parts.blocked, 10)
      assert.deepStrictEqual(parts.links, [
        { text: "a link out of the frame", url: `${trap}/followed` },
        { text: "https://your-bank.example", url: `${trap}/named` }
      ])
      // A picture that is shown inline is not listed again.
      assert.deepStrictEqual(
        parts.attachments.map(({ mediaType, name }) => [mediaType, name]),
        [
          ["text/html", Hostile.markup(trap)],
          ["image/svg+xml", "drawing.svg"]
        ]
      )
      for (const { part } of parts.attachments) {
        const { headers, status } = yield* ask(`${at("hostile", "/part")}&part=${part}`)
        assert.strictEqual(status, 200)
        assert.match(String(headers["content-disposition"]), /^attachment/)
        assert.match(String(headers["content-security-policy"]), /^sandbox; default-src 'none'/)
      }
      assert.strictEqual((yield* ask(`${at("hostile", "/part")}&part=9`)).status, 404)
      assert.strictEqual((yield* ask(`${at("hostile", "/part")}&part=x`)).status, 400)
    })
  )

  it.effect("have the words of a picture in its place, as the text that they are", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const { text } = yield* ask(at("pictures"))
      assert.deepStrictEqual(
        [...text.matchAll(/\[[^\]]*\]/g)].map(([words]) => words),
        [
          "[A &amp; B]",
          "[&lt;b onclick=1&gt;not bold&lt;/b&gt;]",
          "[&amp;lt;i&amp;gt;]",
          `[" ']`,
          "[&lt;script&gt;1&lt;/script&gt;]",
          "[&lt;s&gt; &amp; deep]"
        ]
      )
    })
  )

  it.effect("of plain text are shown as the text that they are", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const page = yield* ask(at("plain"))
      assert.match(page.text, /<pre>1 &lt; 2 &amp;&amp; &lt;b&gt;not bold&lt;\/b&gt;/)
      assert.match((yield* ask(at("empty"))).text, /This email has no text/)
    })
  )

  it.effect("that can't be shown say why, and what to do instead", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const expected = {
        file: /file is no email/,
        large: /too large to be shown.*download/,
        headers: /can't be shown.*download/
      }
      for (const [id, message] of Object.entries(expected)) {
        const { json, status } = yield* ask(at(id))
        assert.strictEqual(status, 422, id)
        assert.match((json as { detail: string }).detail, message)
      }
      assert.strictEqual((yield* ask(at("nothing"))).status, 404)
    })
  )
})
