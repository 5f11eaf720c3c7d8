/** `idem connections`, `pause`, `resume`, `disconnect`. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { pausedByPerson, Store } from "../engine/Store.ts"
import * as Documents from "./Documents.ts"
import * as Failure from "./Failure.ts"
import * as Input from "./Input.ts"
import { Output } from "./Output.ts"
import * as Services from "./Services.ts"
import * as Text from "./Text.ts"

export const connections = Command.make(
  "connections",
  {},
  Effect.fn("connections")(function* () {
    const output = yield* Output
    const list = yield* Services.provide(Store.use((store) => store.connections))
    const now = yield* DateTime.now
    yield* output.answer({ connections: list.map((each) => Documents.connection(each, now)) }, () =>
      list.length === 0
        ? "there are no connections yet: idem connect --help"
        : Text.table(
            ["NAME", "SOURCE", "ACCOUNT", "STATE", "EVERY", "NEXT POLL"],
            list.map((each) => [
              Text.short(each.name, 40),
              each.domain,
              Text.short(each.account, 40),
              Documents.stateOf(each, now),
              Text.duration(each.every),
              each.paused === null ? Text.upcoming(each.nextPollAt, now) : Text.short(each.paused)
            ]),
            { style: output.style.bold }
          )
    )
  })
).pipe(Command.withDescription("List the connections"))

export const pause = Command.make(
  "pause",
  { connection: Input.connection },
  Effect.fn("pause")(function* ({ connection: name }) {
    const output = yield* Output
    yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const connection = yield* Services.connectionNamed(name)
        const reason = connection.paused ?? pausedByPerson
        if (connection.paused === null) yield* store.setPaused(connection.id, reason)
        yield* output.answer(
          { connection: name, paused: reason },
          () => `${Text.oneLine(name)} is paused: it is not polled until \`idem resume ${Text.shellWord(name)}\``
        )
      })
    )
  })
).pipe(Command.withDescription("Stop polling a connection"))

export const resume = Command.make(
  "resume",
  { connection: Input.connection },
  Effect.fn("resume")(function* ({ connection: name }) {
    const output = yield* Output
    yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const connection = yield* Services.connectionNamed(name)
        if (connection.credentials === null) {
          return yield* Failure.failed(
            "Disconnected",
            `${Text.quoted(name)} is disconnected, and has no credentials: give it new ones with idem connect`
          )
        }
        yield* store.setPaused(connection.id, null)
        yield* output.answer(
          { connection: name, paused: null },
          () => `${Text.oneLine(name)} is polled again, every ${Text.duration(connection.every)}`
        )
      })
    )
  })
).pipe(Command.withDescription("Poll a paused connection again"))

export const disconnect = Command.make(
  "disconnect",
  {
    connection: Input.connection,
    deleteContents: Flag.Boolean("delete-contents").pipe(
      Flag.withDescription("delete all that is stored of it, and the connection itself"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("disconnect")(function* ({ connection: name, deleteContents }) {
    const output = yield* Output
    yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const connection = yield* Services.connectionNamed(name)
        const { stored } = yield* store.totals(connection.id)
        yield* store.disconnect(connection.id, deleteContents)
        yield* output.answer(
          { connection: name, disconnected: true, contentsDeleted: deleteContents, contents: stored },
          () =>
            deleteContents
              ? `${Text.oneLine(name)} is gone, and with it its credentials and ${Text.many(stored, "stored content")}`
              : `${Text.oneLine(name)} is disconnected: its credentials are forgotten, its ${Text.many(stored, "stored content")} can still be read`
        )
      })
    )
  })
).pipe(Command.withDescription("Forget a connection's credentials and stop"))
