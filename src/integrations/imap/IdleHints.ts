/**
 * Hints by IDLE (RFC 2177): a separate connection watches the first mailbox, INBOX or Gmail's mailbox of all mail, and
 * reports that it changed. Changes in other mailboxes are found by the next poll.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Hint } from "../../contract/Hints.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Client } from "./Client.ts"
import * as Mailboxes from "./Mailboxes.ts"

const listen = Effect.fnUntraced(function* (
  connect: Effect.Effect<Client, IntegrationError, Scope.Scope>,
  choice: Mailboxes.Choice,
  queue: Queue.Enqueue<Hint, IntegrationError>
): Effect.fn.Return<never, IntegrationError, Scope.Scope> {
  const client = yield* connect
  const { mailboxes } = yield* Mailboxes.list(client, choice)
  const [mailbox] = mailboxes
  if (mailbox === undefined) return yield* Effect.never
  return yield* client.watch(mailbox.path, (isFirst) => {
    Queue.offerUnsafe(queue, isFirst ? {} : { part: mailbox.name })
  })
})

/** Returns the stream of hints. It ends when the connection does. A server without IDLE gives no hints. */
export const hints = (
  connect: Effect.Effect<Client, IntegrationError, Scope.Scope>,
  choice: Mailboxes.Choice
): Stream.Stream<Hint, IntegrationError> =>
  Stream.callback<Hint, IntegrationError>((queue) => listen(connect, choice, queue))
