/** Finds the connection that a request names. The error suggests the name that was probably meant. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Scope } from "../../derive/ReadTokens.ts"
import * as MessageText from "../../engine/MessageText.ts"
import { type Connection, ConnectionId } from "../../engine/model/Connection.ts"
import type { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { NotFoundProblem } from "../Problems.ts"

/** The most names that an error lists. */
const mostNamed = 10

/**
 * Finds a connection by its id or by its name; an id takes precedence. For a caller who may read only some connections,
 * the others do not exist.
 */
export const find = Effect.fnUntraced(function* (
  connections: ConnectionStore["Service"],
  ref: string,
  scope?: Scope
): Effect.fn.Return<Connection, NotFoundProblem | StoreError> {
  const isInScope = ({ id }: Pick<Connection, "id">) => scope === undefined || scope.includes(id)
  const found = Option.filter(yield* connections.connection(ConnectionId.make(ref)), isInScope)
  if (Option.isSome(found)) return found.value
  const named = Option.filter(yield* connections.connectionByName(ref), isInScope)
  if (Option.isSome(named)) return named.value
  const names = (yield* connections.connectionNames).filter(isInScope).map(({ name }) => name)
  const meant = MessageText.nearest(ref, names)
  const more = names.length - mostNamed
  const next =
    meant !== undefined
      ? `did you mean ${MessageText.quoted(meant)}?`
      : names.length === 0
        ? "there are none yet: connect one first"
        : `there are: ${names.slice(0, mostNamed).map(MessageText.quoted).join(", ")}${more > 0 ? `, and ${more} more` : ""}`
  return yield* new NotFoundProblem({
    what: "connection",
    detail: `there is no connection ${MessageText.quoted(ref)}; ${next}`
  })
})
