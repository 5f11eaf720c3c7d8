/** Deletions that are held back until a person has looked. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { Confirm } from "./Dialog.tsx"
import * as Format from "./Format.ts"
import { contentPath } from "./Location.ts"
import { Empty, ErrorNotice, Loading, Notice, Table, Time } from "./Parts.tsx"

/** As many as the server gives. */
const longest = 10_000

const causes = { event: "the source said so", absence: "not in a full listing any more" }

export const DeletionsPage = ({ status }: { readonly status: Api.Status }) => {
  const client = useQueryClient()
  const [asking, ask] = useState(false)
  const [limit, setLimit] = useState(100)
  const held = status.totals.deletionsHeld
  const { data, error } = useQuery({
    queryKey: ["connection", status.id, "deletions", limit],
    queryFn: (context) => Api.deletions(status.id, limit, context),
    placeholderData: (before) => before,
    refetchInterval: 10_000
  })
  const approve = useMutation({
    mutationFn: () => Api.approveDeletions(status.id),
    onSuccess: () => client.invalidateQueries({ queryKey: ["connection", status.id] }),
    onSettled: () => ask(false)
  })
  if (data === undefined) {
    return error instanceof Api.Problem ? <ErrorNotice error={error} /> : <Loading what="the deletions" />
  }
  return (
    <section aria-labelledby="deletions">
      <div class="heading">
        <h2 id="deletions">Deletions held back</h2>
        {data.length === 0 ? null : (
          <button type="button" class="danger" onClick={() => ask(true)}>
            Approve {Format.many(held, "deletion")}…
          </button>
        )}
      </div>
      <ErrorNotice error={approve.error} />
      {approve.data === undefined ? null : (
        <Notice tone="good" announced>
          <p>{Format.many(approve.data.deleted, "content")} marked as deleted.</p>
        </Notice>
      )}
      {data.length === 0 ? (
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
          {held > data.length ? (
            <p>
              The first {Format.count(data.length)} of {Format.count(held)} are shown.
            </p>
          ) : null}
          <Table label="Deletions held back">
            <thead>
              <tr>
                <th scope="col">Id</th>
                <th scope="col">Why</th>
                <th scope="col">Since</th>
              </tr>
            </thead>
            <tbody>
              {data.map((row) => (
                <tr key={row.externalId}>
                  <th scope="row" class="id">
                    <a href={`#${contentPath(status.id, row.externalId)}`}>{row.externalId}</a>
                  </th>
                  <td>{causes[row.cause]}</td>
                  <td class="nowrap">
                    <Time time={row.stagedAt} />
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
          {held > data.length && limit < longest ? (
            <button type="button" onClick={() => setLimit(Math.min(limit * 5, longest))}>
              Show more
            </button>
          ) : null}
        </>
      )}
      {asking ? (
        <Confirm
          title={`Delete ${Format.many(held, "content")} of ${status.name}?`}
          confirm={`Delete ${Format.count(held)}`}
          danger
          busy={approve.isPending}
          onConfirm={() => approve.mutate()}
          onClose={() => ask(false)}
        >
          <p>
            They are marked as deleted and no longer listed as stored. This is soft: their bytes stay in the database
            until you purge them (<code>npx idem purge</code>), and what comes back at the source is stored again.
          </p>
        </Confirm>
      ) : null}
    </section>
  )
}
