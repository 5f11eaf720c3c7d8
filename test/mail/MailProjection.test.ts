/** Rows of emails, with conversations for sources that have none. */
import { assert, it } from "@effect/vitest"
import * as Headers from "../../src/mail/Headers.ts"
import * as MailProjection from "../../src/mail/MailProjection.ts"

const threadOf = (...lines: ReadonlyArray<string>): unknown => {
  const { subject: _subject, ...fields } = Headers.read(Buffer.from([...lines, "", "text"].join("\r\n")))
  const { rows } = MailProjection.project({
    externalId: "1",
    kind: "message",
    title: null,
    occurredAt: null,
    mediaType: "message/rfc822",
    metadata: JSON.parse(JSON.stringify(fields)),
    size: 1,
    sha256: "00",
    json: undefined
  })
  return rows.find(({ table }) => table === "mail")?.row["thread"]
}

// djcb/mu#871, nextcloud/mail#3298: a conversation is split after its first reply.
it("an email, its reply and the reply to that are one conversation", () => {
  assert.strictEqual(threadOf("Message-ID: <a@x>"), "<a@x>")
  assert.strictEqual(threadOf("Message-ID: <b@x>", "In-Reply-To: Your message of Monday <a@x>"), "<a@x>")
  assert.strictEqual(threadOf("Message-ID: <c@x>", "In-Reply-To: <b@x>", "References: <a@x>", " <b@x>"), "<a@x>")
})

it("words in In-Reply-To that are no Message-ID make no conversation", () => {
  assert.strictEqual(threadOf("Message-ID: <b@x>", "In-Reply-To: Your message of Monday"), "<b@x>")
})
