/** Text of a source can't control the terminal. */
import { assert, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Logging from "../../src/cli/Logging.ts"
import { Output } from "../../src/cli/Output.ts"

/** Clears the screen and writes to the clipboard, with C0 and with C1 codes, and reorders the following text. */
const hostile = "a\u001b[2J\u001b]52;c;cm0=\u0007\u009b2J\u009d52;c;cm0=\u009c\u007f\u202eb\u2066\u200f\u061c\u2028\r\b"

// oxlint-disable-next-line no-control-regex
const colour = /\u001b\[[0-9;]*m/g

/**
 * Returns the control sequences in a text that a terminal would execute. Colours are excluded, because they neither
 * move nor hide text.
 */
const obeyed = (text: string): string =>
  (
    text.replaceAll(colour, "").match(/[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu) ??
    []
  )
    .map((character) => character.charCodeAt(0).toString(16))
    .join(" ")

/** Returns the output on stdout and stderr, if both are terminals or neither is. */
const written = Effect.fnUntraced(function* (
  isTerminal: boolean,
  work: Effect.Effect<unknown, unknown, Output>,
  json = false
) {
  const said: Array<string> = []
  const into = () =>
    Sink.forEach((chunk: string | Uint8Array) => Effect.sync(() => void said.push(Buffer.from(chunk).toString())))
  const stdio = Layer.effect(
    Stdio.Stdio,
    Effect.map(Stdio.Stdio, (test) => ({
      ...test,
      stdoutIsTerminal: Effect.succeed(isTerminal),
      stderrIsTerminal: Effect.succeed(isTerminal)
    }))
  ).pipe(Layer.provide(Stdio.layerTest({ stdout: into, stderr: into })), Layer.provideMerge(NodeTerminal.layer))
  const console = {
    ...globalThis.console,
    error: (...parts: ReadonlyArray<unknown>) => void said.push(parts.join(" "))
  }
  yield* work.pipe(
    Effect.provide(Layer.provideMerge(Layer.merge(Output.layer({ json }), Logging.layer), stdio)),
    Effect.provideService(Console.Console, console)
  )
  return said.join("\n")
})

describe("what a source sent", () => {
  for (const isTerminal of [true, false]) {
    const where = isTerminal ? "a terminal" : "a file"

    it.effect(`is shown to ${where} without what controls one`, () =>
      Effect.gen(function* () {
        const answer = { title: hostile }
        for (const json of [true, false]) {
          const text = yield* written(
            isTerminal,
            Output.use((output) =>
              Effect.gen(function* () {
                yield* output.answer(answer, () => `title ${hostile}\n`)
                yield* output.note(hostile)
              })
            ),
            json
          )
          assert.strictEqual(obeyed(text), "")
          assert.include(text, "52;c;cm0=")
        }
      })
    )

    it.effect(`is logged to ${where} without what controls one, and in lines of its own`, () =>
      Effect.gen(function* () {
        const text = yield* written(
          isTerminal,
          Effect.logWarning(`${hostile}\n12:00:00 ERROR forged`, new Error(hostile)).pipe(
            Effect.annotateLogs({ connection: `${hostile}\nforged` })
          )
        )
        assert.strictEqual(obeyed(text), "")
        assert.include(text, "52;c;cm0=")
        assert.notMatch(text, /^(12:00:00 ERROR )?forged/m)
      })
    )
  }

  it.effect("is the same document in JSON", () =>
    Effect.gen(function* () {
      const text = yield* written(
        false,
        Output.use((output) => output.answer({ title: hostile }, () => "")),
        true
      )
      assert.deepStrictEqual(JSON.parse(text), { title: hostile })
    })
  )

  it.effect("is written byte for byte to a file, and as text to a terminal", () =>
    Effect.gen(function* () {
      const bytes = Output.use((output) => output.bytes(Stream.succeed(new TextEncoder().encode(`${hostile}\r\nx`))))
      assert.strictEqual(yield* written(false, bytes), `${hostile}\r\nx`)
      const shown = yield* written(true, bytes)
      assert.strictEqual(obeyed(shown.replaceAll("\r\n", "\n")), "")
      assert.match(shown, /\r\nx$/)
    })
  )
})
