/**
 * The profile of the mailbox: its address, its size and its history id. Gmail answers with `getProfile`. A server that
 * stands in for Gmail may not have this method: npm's `emulate`, with which people try Idem without a Google account
 * (docs/connect.md). It answers 404 (`Gone`), and other methods are asked instead.
 */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Api } from "./Api.ts"
import { later } from "./Checkpoint.ts"

const orIfMissing = <A>(profile: Effect.Effect<A, IntegrationError>, other: Effect.Effect<A, IntegrationError>) =>
  Effect.catch(profile, (error) => (error.reason._tag === "Gone" ? other : Effect.fail(error)))

/** The address of the account; `me` if the server does not tell. */
export const address = (api: Api): Effect.Effect<string, IntegrationError> =>
  orIfMissing(
    Effect.map(api.profile, ({ emailAddress }) => emailAddress),
    Effect.catch(
      Effect.map(api.userInfo, ({ email }) => email),
      (error) => (error.reason._tag === "Unauthorized" ? Effect.fail(error) : Effect.succeed("me"))
    )
  )

/** The number of messages, or this estimate. */
export const messagesTotal = (
  api: Api,
  estimate: Effect.Effect<number | undefined, IntegrationError>
): Effect.Effect<number | undefined, IntegrationError> =>
  orIfMissing(
    Effect.map(api.profile, (profile) => profile.messagesTotal),
    estimate
  )

/** The mailbox's history id now, and the number of messages. */
export const beginning = (api: Api) =>
  orIfMissing(
    Effect.map(api.profile, (profile) => ({ historyId: profile.historyId, total: profile.messagesTotal })),
    Effect.map(historyIdOf(api), (historyId) => ({ historyId, total: undefined }))
  )

/**
 * The history id of the newest message, then what the history that begins there says of the mailbox, so that older
 * messages changed since are not taken for changes.
 */
const historyIdOf = Effect.fnUntraced(function* (api: Api) {
  const newest = (yield* api.messages({ includeSpamTrash: true }, { maxResults: 1 })).messages?.[0]
  const message = newest === undefined ? undefined : yield* api.message(newest.id)
  const start = message?.historyId ?? "1"
  const history = yield* Effect.catch(api.history(start, { maxResults: 1 }), (error) =>
    error.reason._tag === "Gone" ? Effect.succeed({ historyId: start }) : Effect.fail(error)
  )
  return later(start, history.historyId)
})
