/** Checks that ids which a person named for a retry are in the ledger. */
import * as Effect from "effect/Effect"
import { UsageError } from "../Engine.ts"
import * as MessageText from "../MessageText.ts"
import type { Connection } from "../model/Connection.ts"
import type { LedgerStore } from "../store/LedgerStore.ts"

/** Fails with those of these ids that are not in the connection's ledger. One bulk query. */
export const requireIds = Effect.fnUntraced(function* (
  { ledger }: Pick<LedgerStore["Service"], "ledger">,
  connection: Connection,
  externalIds: ReadonlyArray<string>
) {
  const rows = yield* ledger(connection.id, { externalIds, limit: externalIds.length })
  const found = new Set(rows.map((row) => row.externalId))
  const notInLedger = externalIds.filter((id) => !found.has(id))
  if (notInLedger.length === 0) return
  const shown = notInLedger.slice(0, 3).map(MessageText.quoted).join(", ")
  const more = notInLedger.length > 3 ? ` and ${notInLedger.length - 3} more` : ""
  return yield* new UsageError({
    notInLedger,
    message: `${shown}${more}: not in the ledger of ${MessageText.quoted(connection.name)}`
  })
})
