import { assert, it } from "@effect/vitest"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import { Output } from "../../src/cli/Output.ts"

it.effect("a secret is hidden in the texts of a document, and the document stays JSON", () =>
  Effect.gen(function* () {
    const written: Array<string> = []
    const stdio = Stdio.layerTest({
      stdout: () => Sink.forEach((chunk) => Effect.sync(() => void written.push(String(chunk))))
    })
    const answer = Output.use((output) =>
      Effect.andThen(
        output.hide("2026"),
        output.answer({ items: 2026, said: "it is 2026", "2026": [2026, "2026"] }, () => "")
      )
    )
    yield* Effect.provide(answer, Layer.provide(Output.layer({ json: true }), Layer.merge(stdio, NodeTerminal.layer)))
    assert.deepStrictEqual(JSON.parse(written.join("")), { items: 2026, said: "it is …", "2026": [2026, "…"] })
  })
)
