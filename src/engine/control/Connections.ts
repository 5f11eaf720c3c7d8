/** `Control` of connections, and of what needs a person. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Conflict, type ConnectionRef, type Control, NotFound } from "../Control.ts"
import type { Engine } from "../Engine.ts"
import { pausedByPerson } from "../model/Connection.ts"
import { NameTaken, type Store } from "../Store.ts"
import * as MessageText from "../MessageText.ts"
import * as Naming from "./Naming.ts"
import * as Shown from "./Shown.ts"

type Methods = Pick<
  Control["Service"],
  | "connections"
  | "connection"
  | "status"
  | "connect"
  | "pause"
  | "resume"
  | "disconnect"
  | "ledger"
  | "deletions"
  | "approveDeletions"
>

export const make = (store: Store["Service"], engine: Engine["Service"]): Methods => {
  const find = (ref: ConnectionRef) => Naming.connection(store, ref)
  const shown = Effect.fnUntraced(function* (ref: ConnectionRef) {
    return Shown.connection(yield* find(ref), yield* DateTime.now)
  })

  return {
    connections: Effect.gen(function* () {
      const now = yield* DateTime.now
      return (yield* store.connections).map((each) => Shown.connection(each, now))
    }),

    connection: shown,

    status: Effect.fnUntraced(function* (ref) {
      const connection = yield* find(ref)
      const { id } = connection
      const [lastRun] = yield* store.runs(id, 1)
      return Shown.status(connection, yield* DateTime.now, {
        totals: yield* store.totals(id),
        lastRun,
        unfinished: yield* store.openTasks(id)
      })
    }),

    connect: Effect.fnUntraced(function* ({ mode, ...input }) {
      const before = yield* store.connectionByName(input.name)
      if (mode === "create" && Option.isSome(before)) return yield* new NameTaken({ name: input.name })
      if (mode === "update" && Option.isNone(before)) {
        return yield* new NotFound({
          what: "connection",
          message: `there is no connection ${MessageText.quoted(input.name)} to change: it was removed, perhaps`
        })
      }
      const connected = yield* engine.connect(input)
      return { ...connected, connection: Shown.connection(connected.connection, yield* DateTime.now) }
    }),

    pause: Effect.fnUntraced(function* (ref) {
      const { id, paused } = yield* find(ref)
      if (paused === null) yield* store.setPaused(id, pausedByPerson)
      return yield* shown(id)
    }),

    resume: Effect.fnUntraced(function* (ref) {
      const { credentials, id, name } = yield* find(ref)
      if (credentials === null) {
        return yield* new Conflict({
          message: `${MessageText.quoted(name)} is disconnected, and has no credentials: give it new ones`
        })
      }
      yield* store.setPaused(id, null)
      return yield* shown(id)
    }),

    disconnect: Effect.fnUntraced(function* (ref, { deleteContents }) {
      const { id } = yield* find(ref)
      const { stored } = yield* store.totals(id)
      yield* store.disconnect(id, deleteContents)
      return { contents: stored }
    }),

    ledger: Effect.fnUntraced(function* (ref, limit) {
      const { id } = yield* find(ref)
      return (yield* store.ledger(id, { limit })).map(Shown.ledgerRow)
    }),

    deletions: Effect.fnUntraced(function* (ref, limit) {
      const { id } = yield* find(ref)
      return yield* store.deletions(id, { limit })
    }),

    approveDeletions: (ref) => Effect.flatMap(find(ref), ({ id }) => store.approveDeletions(id))
  }
}
