import { assert, it } from "@effect/vitest"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"
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

it.effect("an error of stdout is named as the system names it, and a closed pipe is none", () =>
  Effect.gen(function* () {
    const answered = (code: string, message: string) => {
      const cause = Object.assign(new Error(message), { code })
      const stdio = Stdio.layerTest({
        stdout: () =>
          Sink.fail(PlatformError.systemError({ module: "Stdio", method: "stdout", _tag: "Unknown", cause }))
      })
      const layer = Layer.provide(Output.layer({ json: true }), Layer.merge(stdio, NodeTerminal.layer))
      return Effect.provide(Effect.flip(Output.use((output) => output.print("text"))), layer)
    }
    const full = yield* answered("ENOSPC", "ENOSPC: no space left on device, write")
    assert.strictEqual(full.message, "can't write to stdout: ENOSPC: no space left on device, write")
    assert.strictEqual((yield* answered("EPIPE", "write EPIPE"))._tag, "OutputClosed")
  })
)
