/** What people name things by, as the things themselves; where there is none, the message says what was meant, perhaps. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ConnectionRef, NotFound } from "../Control.ts"
import { type Connection, ConnectionId } from "../model/Connection.ts"
import { type Store, type StoreError } from "../Store.ts"
import * as MessageText from "../MessageText.ts"

/** A connection by its id or by its name: the id wins. */
export const connection = Effect.fnUntraced(function* (
  store: Store["Service"],
  ref: ConnectionRef
): Effect.fn.Return<Connection, NotFound | StoreError> {
  const found = yield* store.connection(ConnectionId.make(ref))
  if (Option.isSome(found)) return found.value
  const named = yield* store.connectionByName(ref)
  if (Option.isSome(named)) return named.value
  const names = (yield* store.connections).map(({ name }) => name)
  const meant = MessageText.nearest(ref, names)
  const next =
    meant !== undefined
      ? `did you mean ${MessageText.quoted(meant)}?`
      : names.length === 0
        ? "there are none yet, make one with: idem connect"
        : "see: idem connections"
  return yield* new NotFound({
    what: "connection",
    message: `there is no connection ${MessageText.quoted(ref)}; ${next}`
  })
})
