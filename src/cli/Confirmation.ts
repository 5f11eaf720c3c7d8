/** Asks before a command deletes: a person on a terminal types the connection's name. Scripts are not asked. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Arguments from "./Arguments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as TextFormat from "./TextFormat.ts"

/** `--yes`. */
export const yes = Arguments.flag("yes", "do not ask for confirmation")

const readLine = Effect.flatMap(Stdio.Stdio, ({ stdin }) =>
  stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runHead,
    Effect.map(Option.getOrElse(() => "")),
    Effect.orElseSucceed(() => "")
  )
)

/** Returns true if there is a person to ask: on a terminal, without `--yes`. */
export const isAsked = Effect.fnUntraced(function* (yes: boolean) {
  const { stderrIsTerminal, stdinIsTerminal } = yield* Stdio.Stdio
  return !yes && (yield* stdinIsTerminal) && (yield* stderrIsTerminal)
})

/** Fails unless the person types the name. `what` describes what would be deleted. Without a terminal, does not ask. */
export const ask = Effect.fnUntraced(function* (options: {
  readonly connection: string
  readonly what: string
  readonly yes: boolean
}) {
  if (!(yield* isAsked(options.yes))) return
  const { note } = yield* Output
  yield* note(`${options.what}. Type the connection's name to continue (--yes skips this question):`)
  if ((yield* readLine).trim() === options.connection.trim()) return
  return yield* CommandFailure.failed(
    "NotConfirmed",
    `nothing was changed: ${TextFormat.quoted(options.connection)} was not typed`
  )
})
