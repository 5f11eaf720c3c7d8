/**
 * Reads the profile of the mailbox: its address, its size and its history id. Gmail has `getProfile` for that. A
 * stand-in for Gmail may not have this method: npm's `emulate`, with which people try Idem without a Google account
 * (docs/connect.md). It answers 404 (`Gone`), and then other methods are used.
 */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Api } from "./Api.ts"
import { later } from "./Checkpoint.ts"

const orIfMissing = <A>(profile: Effect.Effect<A, IntegrationError>, other: Effect.Effect<A, IntegrationError>) =>
  Effect.catch(profile, (error) => (error.reason._tag === "Gone" ? other : Effect.fail(error)))

/** Returns the address of the account; `me` if the server does not report it. */
export const address = (api: Api): Effect.Effect<string, IntegrationError> =>
  orIfMissing(
    Effect.map(api.profile, ({ emailAddress }) => emailAddress),
    Effect.catch(
      Effect.map(api.userInfo, ({ email }) => email),
      (error) => (error.reason._tag === "Unauthorized" ? Effect.fail(error) : Effect.succeed("me"))
    )
  )

/** Returns the number of messages, or this estimate. */
export const messagesTotal = (
  api: Api,
  estimate: Effect.Effect<number | undefined, IntegrationError>
): Effect.Effect<number | undefined, IntegrationError> =>
  orIfMissing(
    Effect.map(api.profile, (profile) => profile.messagesTotal),
    estimate
  )

/** Returns the mailbox's present history id, and the number of messages. */
export const beginning = (api: Api) =>
  orIfMissing(
    Effect.map(api.profile, (profile) => ({ historyId: profile.historyId, total: profile.messagesTotal })),
    Effect.map(historyIdOf(api), (historyId) => ({ historyId, total: undefined }))
  )

/**
 * Returns the present history id without `getProfile`: starts from the newest message's id, and reads the id that the
 * history from there reports. So earlier changes of older messages do not count as new.
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
