import { assert, it } from "@effect/vitest"
import * as JsonBounds from "../../src/contract/JsonBounds.ts"

const bounds = { depth: 2, values: 6, names: 2 }

it("a JSON text at the bounds is accepted, and characters inside its strings are not counted", () => {
  const accepted = [
    "[[1]]",
    "[[],[]]",
    "[1,2,3,4,5]",
    '{"a":1,"b":2}',
    '[{"a":1,"b":2},1]',
    '{"a":{"b":1},"c":2}',
    JSON.stringify(["[[[", "{,,,,,,"]),
    JSON.stringify(['"[[[', '"'])
  ]
  for (const text of accepted) assert.isUndefined(JsonBounds.problem(text, bounds), text)
})

it("a JSON text above a bound is refused, wherever the excess is", () => {
  const refused: ReadonlyArray<readonly [string, string]> = [
    ["[[[1]]]", "it may nest at most 2 deep"],
    ['{"a":{"b":{}}}', "it may nest at most 2 deep"],
    ['["a",[[1]]]', "it may nest at most 2 deep"],
    ["[1,2,3,4,5,6]", "it may have at most 6 values"],
    ["[[],[],[],[]]", "it may have at most 6 values"],
    ['{"a":1,"b":2,"c":3}', "one object may have at most 2 names"],
    ['{"a":{"b":1},"c":2,"d":3}', "one object may have at most 2 names"],
    ['[[],{"a":1,"b":2,"c":3}]', "one object may have at most 2 names"]
  ]
  for (const [text, problem] of refused) assert.strictEqual(JsonBounds.problem(text, bounds), problem, text)
})

it("a text that is not JSON is left to the parser, also if it ends within a string", () => {
  for (const text of ["", "]]]]", "]}1", '"a', '"a\\', "[[", '{"a"']) {
    assert.isUndefined(JsonBounds.problem(text, bounds), text)
  }
})
