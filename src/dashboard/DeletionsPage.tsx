/** Held deletions, of which a person approves all or some. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { Confirm } from "./Dialog.tsx"
import * as Format from "./Format.ts"
import { contentPath } from "./Location.ts"
import { CardTable, ChooseCell, Empty, ErrorNotice, Loading, Notice, Time } from "./Components.tsx"

/** The server's limit of ids in one request. */
const longest = 10_000

const causes = { event: "the source said so", absence: "not in a full listing any more" }

/** The deletions that the person was shown. The list may change while the question is open. */
interface Asked {
  readonly count: number
  readonly approval: Api.Approval
}

interface RowProps {
  readonly row: Api.HeldDeletions["deletions"][number]
  readonly status: Api.Status
  readonly chosen: boolean
  readonly onChoose: (chosen: boolean) => void
}

const Row = ({ chosen, onChoose, row, status }: RowProps) => (
  <tr role="row">
    <ChooseCell name={row.externalId} chosen={chosen} onChoose={onChoose} />
    <th role="rowheader" scope="row" class={row.title === null ? "id" : "title-cell"} data-label="Content">
      <a href={`#${contentPath(status.id, row.externalId)}`}>{row.title ?? row.externalId}</a>
      {row.title === null ? null : <span class="sub id">{row.externalId}</span>}
    </th>
    <td role="cell" data-label="Date" class="nowrap">
      <Time time={row.occurredAt} />
    </td>
    <td role="cell" data-label="Why">
      {causes[row.cause]}
    </td>
    <td role="cell" data-label="Since" class="nowrap">
      <Time time={row.stagedAt} />
    </td>
  </tr>
)

export const DeletionsPage = ({ status }: { readonly status: Api.Status }) => {
  const client = useQueryClient()
  const [asked, ask] = useState<Asked>()
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set())
  const [limit, setLimit] = useState(100)
  const [filter, setFilter] = useState("")
  const { data, error } = useQuery({
    queryKey: ["connection", status.id, "deletions", limit],
    queryFn: (context) => Api.deletions(status.id, limit, context),
    placeholderData: (before) => before,
    refetchInterval: 10_000
  })
  const approve = useMutation({
    mutationFn: (approval: Api.Approval) => Api.approveDeletions(status.id, approval),
    onSuccess: () => choose(new Set()),
    onSettled: async () => {
      ask(undefined)
      await client.invalidateQueries({ queryKey: ["connection", status.id] })
    }
  })
  if (data === undefined) {
    return error instanceof Api.Problem ? <ErrorNotice error={error} /> : <Loading what="the deletions" />
  }
  const { token, total } = data
  const wanted = filter.trim().toLowerCase()
  const deletions = data.deletions.filter(({ externalId, title }) =>
    `${title ?? ""} ${externalId}`.toLowerCase().includes(wanted)
  )
  const [first, ...others] = deletions.map((row) => row.externalId).filter((id) => chosen.has(id))
  const some = first === undefined ? undefined : ([first, ...others] as const)
  const isAll = some !== undefined && some.length === deletions.length
  return (
    <section aria-labelledby="deletions">
      <div class="heading">
        <h2 id="deletions">Deletions held back</h2>
        {total === 0 ? null : (
          <div class="buttons">
            <label class="inline">
              <input
                type="checkbox"
                checked={isAll}
                onChange={() => choose(new Set(isAll ? [] : deletions.map((row) => row.externalId)))}
              />{" "}
              Choose all shown
            </label>
            <button
              type="button"
              disabled={some === undefined}
              onClick={() => {
                if (some !== undefined) ask({ count: some.length, approval: { externalIds: some } })
              }}
            >
              Approve chosen ({Format.count(some?.length ?? 0)})…
            </button>
            <button type="button" class="danger" onClick={() => ask({ count: total, approval: { token } })}>
              Approve {Format.many(total, "deletion")}…
            </button>
          </div>
        )}
      </div>
      <ErrorNotice error={approve.error} />
      {approve.data === undefined ? null : (
        <Notice tone="good" announced>
          <p>{Format.many(approve.data.deleted, "content")} marked as deleted.</p>
        </Notice>
      )}
      {total === 0 ? (
        <Empty title="No deletion waits for you">
          <p>
            Deletions at the source are followed by themselves. Only when unusually many go missing at once are they
            held back here.
          </p>
        </Empty>
      ) : (
        <>
          <p>
            These were stored, and the source no longer has them. Approve, if that is right. If it is not, do nothing:
            what is seen again leaves this list by itself.
          </p>
          <div class="filter">
            <label class="grow">
              Filter by title or id
              <input type="search" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
            </label>
          </div>
          {total > deletions.length ? (
            <p role="status">
              {Format.count(deletions.length)} of {Format.count(total)} are shown.
            </p>
          ) : null}
          <CardTable
            label="Deletions held back"
            columns={["Choose", "Content", "Date", "Why", "Since"]}
            unlabelled={["Choose"]}
          >
            {deletions.map((row) => (
              <Row
                key={row.externalId}
                row={row}
                status={status}
                chosen={chosen.has(row.externalId)}
                onChoose={(isChosen) => {
                  const next = new Set(chosen)
                  if (isChosen) next.add(row.externalId)
                  else next.delete(row.externalId)
                  choose(next)
                }}
              />
            ))}
          </CardTable>
          {total > data.deletions.length && limit < longest ? (
            <button type="button" onClick={() => setLimit(Math.min(limit * 5, longest))}>
              Show more
            </button>
          ) : null}
        </>
      )}
      {asked === undefined ? null : (
        <Confirm
          title={`Delete ${Format.many(asked.count, "content")} of ${status.name}?`}
          confirm={`Delete ${Format.count(asked.count)}`}
          danger
          busy={approve.isPending}
          onConfirm={() => approve.mutate(asked.approval)}
          onClose={() => ask(undefined)}
        >
          <p>
            They are marked as deleted and no longer listed as stored. This is soft: their bytes stay in the database
            until you purge them (<code>idem purge</code>), and what comes back at the source is stored again.
          </p>
        </Confirm>
      )}
    </section>
  )
}
