import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { externalIdProblem } from "../../src/contract/Content.ts"
import * as Cursor from "../../src/cli/Cursor.ts"
import { ConnectionId } from "../../src/engine/Store.ts"

const mine = ConnectionId.make("0b1c")

const Id = Schema.NonEmptyString.pipe(Schema.check(Schema.isMaxLength(300)))
const usable = (id: string): string => (externalIdProblem(id) === undefined ? id : `\ufeff${id.length}/é\n"`)

describe("a cursor", () => {
  it.prop("gives back the id it was made of, in letters that every shell and URL takes", [Id], ([given]) => {
    const id = usable(given)
    const cursor = Cursor.encode(mine, id)
    assert.match(cursor, /^[A-Za-z0-9_-]+$/)
    assert.deepStrictEqual(Cursor.decode(mine, cursor), Result.succeed(id))
  })

  it.prop("is refused by another connection", [Id], ([given]) => {
    const id = usable(given)
    const decoded = Cursor.decode(ConnectionId.make("other"), Cursor.encode(mine, id))
    assert.isTrue(Result.isFailure(decoded) && decoded.failure.includes("another connection"))
  })

  it("is refused where it is none", () => {
    for (const text of ["", "m000001", "!!", Buffer.from('["0b1c"]').toString("base64url"), "WyIw"]) {
      assert.isTrue(Result.isFailure(Cursor.decode(mine, text)), text)
    }
  })
})
