import { assert, describe, it } from "@effect/vitest"
import { redact } from "../../src/contract/Redaction.ts"

describe("redaction", () => {
  it("takes a secret out of what a source said", () => {
    assert.strictEqual(redact("530 wrong password s3cret.", ["s3cret"]), "530 wrong password ….")
    assert.strictEqual(redact("token=ya29.abcdefghijk!", ["ya29.abcdefghijk"]), "token=…!")
    assert.strictEqual(redact("xya29.abcdefghijkx", ["ya29.abcdefghijk"]), "x…x")
    const odd = "^$\\\\.*+?()[]{}|/-&#~,<>=!:'`%@_"
    assert.strictEqual(redact(`is ${odd} it`, [odd]), "is … it")
    assert.strictEqual(redact("a(b and a(b)c", ["a(b", "a(b)c"]), "… and …")
  })

  it("leaves short common words, and words that only contain a secret", () => {
    assert.strictEqual(redact("530 login incorrect", ["login"]), "530 login incorrect")
    assert.strictEqual(redact("message 18c2 is gone", ["18c"]), "message 18c2 is gone")
    assert.strictEqual(redact("nothing", ["", "no"]), "nothing")
  })

  it("leaves the servers of URLs, and takes out what else they hold", () => {
    const secret = "files.example"
    assert.strictEqual(redact(`https://${secret}.com:8080/x`, [secret]), `https://${secret}.com:8080/x`)
    assert.strictEqual(
      redact("https://me:s3cret@s3cret.example/?key=s3cret", ["s3cret"]),
      "https://me:…@s3cret.example/?key=…"
    )
    const long = "0123456789abcdef"
    assert.strictEqual(redact(`see http://a.example/${long}/x`, [long]), "see http://a.example/…/x")
  })
})
