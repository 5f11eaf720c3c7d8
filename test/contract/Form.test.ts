/** The errors of a server, by the fields of a form. */
import { assert, it } from "@effect/vitest"
import * as Form from "../../src/contract/Form.ts"

it("a form's field has the error about it or about a value in it, of its own place", () => {
  const properties = { host: { type: "string" }, hosts: { type: "array" }, quota: { type: "object" } }
  const [shape] = Form.shapesOf({ type: "object", properties })
  assert.isDefined(shape)
  const errors = [
    { place: "credentials", field: "host", message: "of other credentials" },
    { place: "config", message: "hots is not a field of it" },
    { place: "config", field: "hosts[1]", message: "hosts[1]: expected string; not a host" },
    { place: "config", field: "quota.unitsPerMinute", message: "quota.unitsPerMinute is missing" }
  ]
  assert.deepStrictEqual(Form.errorsOf(errors, "config", shape), {
    hosts: "hosts[1]: expected string; not a host",
    quota: "quota.unitsPerMinute is missing"
  })
  assert.deepStrictEqual(Form.errorsOf(errors, "credentials", shape), { host: "of other credentials" })
})
