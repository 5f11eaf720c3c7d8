/** The ledger: items that are known but not stored, the reasons, and retries of one, some or all. */
import { useMutation, useQuery } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { useRecordRequest } from "./RecentRequests.ts"
import * as Format from "./Format.ts"
import { contentPath } from "./Location.ts"
import { Ago, Badge, CardTable, ChooseCell, Empty, ErrorNotice, Loading, Notice } from "./Components.tsx"
import * as Labels from "./Labels.ts"

/** The server's limit of ids in one request. */
const longest = 10_000

interface RowProps {
  readonly row: Api.LedgerRow
  readonly status: Api.Status
  readonly chosen: boolean
  readonly busy: boolean
  readonly onChoose: (chosen: boolean) => void
  readonly onRetry: () => void
}

const Row = ({ busy, chosen, onChoose, onRetry, row, status }: RowProps) => (
  <tr role="row">
    <ChooseCell name={row.externalId} chosen={chosen} onChoose={onChoose} />
    <th role="rowheader" scope="row" class="id" data-label="Id">
      <a href={`#${contentPath(status.id, row.externalId)}`}>{row.externalId}</a>
    </th>
    <td role="cell" data-label="State">
      <Badge tone={Labels.contentTone[row.state] ?? "quiet"}>{row.state}</Badge>
      <span class="sub">
        {Labels.ledgerState(row.state)}, {Format.many(row.attempts, "attempt")} so far
        {row.nextAttemptAt === null ? null : (
          <>
            , next <Ago time={row.nextAttemptAt} />
          </>
        )}
      </span>
    </td>
    <td role="cell" data-label="Reason" class="reason">
      <span>{Labels.reason(row.reason)}</span>
      <span class="sub">{row.message}</span>
    </td>
    <td role="cell" data-label="Retry">
      <button type="button" disabled={busy} onClick={onRetry} aria-label={`Retry ${row.externalId}`}>
        Retry
      </button>
    </td>
  </tr>
)

export const LedgerPage = ({ status }: { readonly status: Api.Status }) => {
  const refresh = useRecordRequest(status.id)
  const [limit, setLimit] = useState(100)
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set())
  const { data, error } = useQuery({
    queryKey: ["connection", status.id, "ledger", limit],
    queryFn: (context) => Api.ledger(status.id, limit, context),
    placeholderData: (before) => before,
    refetchInterval: status.state === "running" ? 2000 : 10_000
  })
  const retry = useMutation({
    mutationFn: (ids: ReadonlyArray<string> | undefined) => Api.retry(status.id, ids),
    onSuccess: async () => {
      choose(new Set())
      await refresh()
    }
  })
  if (data === undefined)
    return error instanceof Api.Problem ? <ErrorNotice error={error} /> : <Loading what="the ledger" />
  const there = data.filter((row) => chosen.has(row.externalId)).map((row) => row.externalId)
  const isAll = data.length > 0 && there.length === data.length
  const busy = retry.isPending || status.state === "disconnected"
  return (
    <section aria-labelledby="ledger">
      <div class="heading">
        <h2 id="ledger">Ledger</h2>
        {data.length === 0 ? null : (
          <div class="buttons">
            <label class="inline">
              <input
                type="checkbox"
                checked={isAll}
                onChange={() => choose(new Set(isAll ? [] : data.map((row) => row.externalId)))}
              />{" "}
              Choose all shown
            </label>
            <button type="button" disabled={busy || there.length === 0} onClick={() => retry.mutate(there)}>
              Retry chosen ({Format.count(there.length)})
            </button>
            <button type="button" class="primary" disabled={busy} onClick={() => retry.mutate(undefined)}>
              Retry all ({Format.count(status.ledger)})
            </button>
          </div>
        )}
      </div>
      <ErrorNotice error={retry.error} />
      {retry.isSuccess ? (
        <Notice tone="good" announced>
          <p>Requested. Rows leave the ledger once they are stored.</p>
        </Notice>
      ) : null}
      {data.length === 0 ? (
        <Empty title="The ledger is empty">
          <p>All that was listed is stored. What can't be downloaded would be here, with its reason.</p>
        </Empty>
      ) : (
        <>
          {status.ledger > data.length ? (
            <p>
              The first {Format.count(data.length)} of {Format.count(status.ledger)} are shown.
            </p>
          ) : null}
          <CardTable
            label="Ledger"
            columns={["Choose", "Id", "State", "Reason", "Retry"]}
            unlabelled={["Choose", "Retry"]}
          >
            {data.map((row) => (
              <Row
                key={row.externalId}
                row={row}
                status={status}
                chosen={chosen.has(row.externalId)}
                busy={busy}
                onChoose={(isChosen) => {
                  const next = new Set(chosen)
                  if (isChosen) next.add(row.externalId)
                  else next.delete(row.externalId)
                  choose(next)
                }}
                onRetry={() => retry.mutate([row.externalId])}
              />
            ))}
          </CardTable>
          {status.ledger > data.length && limit < longest ? (
            <button type="button" onClick={() => setLimit(Math.min(limit * 5, longest))}>
              Show more
            </button>
          ) : null}
        </>
      )}
    </section>
  )
}
