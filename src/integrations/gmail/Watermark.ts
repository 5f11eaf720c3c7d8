/** Where a listing of the whole mailbox begins. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Api } from "./Api.ts"
import { later, type Live, type Pass } from "./Checkpoint.ts"

/** The first checkpoint: the mailbox's history id, taken before anything is listed. */
export const begin = Effect.fnUntraced(function* (api: Api) {
  const profile = yield* Effect.catch(api.profile, (error) =>
    error.reason._tag === "Gone" ? Effect.succeed(undefined) : Effect.fail(error)
  )
  const historyId = profile?.historyId ?? (yield* watermark(api))
  const live: Live = { historyId, pass: yield* newPass(historyId, { initial: true, total: profile?.messagesTotal }) }
  return live
})

/**
 * The mailbox's history id from a server that has no `getProfile`: that of the newest message, then what the history
 * that begins there says of the mailbox, so that older messages changed since are not taken for changes.
 */
const watermark = Effect.fnUntraced(function* (api: Api) {
  const newest = (yield* api.messages({ includeSpamTrash: true }, { maxResults: 1 })).messages?.[0]
  const message = newest === undefined ? undefined : yield* api.message(newest.id)
  const start = message?.historyId ?? "1"
  const history = yield* Effect.catch(api.history(start, { maxResults: 1 }), (error) =>
    error.reason._tag === "Gone" ? Effect.succeed({ historyId: start }) : Effect.fail(error)
  )
  return later(start, history.historyId)
})

/** A pass of its own name. `before`: the one that it makes again. */
export const newPass = Effect.fnUntraced(function* (
  historyId: string,
  options: { readonly initial: boolean; readonly total?: number | undefined; readonly before?: Pass | undefined }
) {
  const unique = Math.abs(yield* Random.nextInt).toString(36)
  const { before, total = before?.total } = options
  const pass: Pass = {
    name: `${historyId}-${unique}`,
    repeated: before === undefined ? 0 : before.repeated + 1,
    shifted: false,
    initial: options.initial,
    metKnown: before?.metKnown ?? false,
    listed: 0,
    ...(total === undefined ? {} : { total })
  }
  return pass
})
