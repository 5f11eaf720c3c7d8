/** Where a listing of the whole mailbox begins. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Api } from "./Api.ts"
import type { Live, Pass } from "./Checkpoint.ts"

/** The first checkpoint: the mailbox's history id, read before anything is listed. */
export const begin = Effect.fnUntraced(function* (api: Api) {
  const { historyId, messagesTotal } = yield* api.profile
  const live: Live = { historyId, pass: yield* newPass(historyId, { initial: true, total: messagesTotal }) }
  return live
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
