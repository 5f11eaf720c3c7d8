/** All connections at a glance. */
import { useQueries, useQuery } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { connectionPath } from "./Location.ts"
import { Ago, Badge, CardTable, Empty, Loading, Notice, Title } from "./Components.tsx"
import * as Labels from "./Labels.ts"

/** The number of rows on one page. Each row requests its own status. */
const pageSize = 50

const NeedsYou = ({ needs, of }: { readonly needs: ReadonlyArray<Labels.Need>; readonly of: Api.Connection }) =>
  needs.length === 0 ? (
    <span class="quiet-text">nothing</span>
  ) : (
    <ul class="plain">
      {needs.map(({ text, to, tone }) => (
        <li key={text}>
          <a class={`tone-${tone}`} href={`#${connectionPath(of.id, to)}`}>
            {text}
          </a>
        </li>
      ))}
    </ul>
  )

interface RowProps {
  readonly connection: Api.Connection
  readonly status: Api.Status | undefined
}

const Row = ({ connection, status }: RowProps) => {
  const shown = status ?? connection
  const { text, tone } = Labels.stateOf(shown)
  const run = status?.lastRun ?? null
  return (
    <tr role="row">
      <th role="rowheader" scope="row" data-label="Connection" class="whose">
        <a href={`#${connectionPath(connection.id)}`}>{connection.name}</a>
        <span class="sub">
          {connection.domain} · {connection.account}
          {connection.memberOf === null ? "" : ` · member of ${connection.memberOf}`}
        </span>
      </th>
      <td role="cell" data-label="State">
        <Badge tone={tone}>{text}</Badge>
        {shown.paused === null ? null : (
          <span class="sub clamped" title={shown.paused}>
            {shown.paused}
          </span>
        )}
      </td>
      <td role="cell" data-label="Stored" class="number nowrap">
        {status === undefined ? "…" : Format.count(status.totals.stored)}
        <span class="sub">{status === undefined ? "" : Format.bytes(status.totals.bytes)}</span>
      </td>
      <td role="cell" data-label="Last run" class="when">
        {status === undefined ? (
          "…"
        ) : run === null ? (
          "none yet"
        ) : (
          <>
            <Ago time={run.startedAt} />
            <span class="sub">
              {run.status === "succeeded" ? "" : `${Labels.runStatus[run.status].text}: `}
              {run.error === null ? Labels.outcome(run) : Labels.reason(run.error.reason)}
            </span>
          </>
        )}
      </td>
      <td role="cell" data-label="Last check" class="when">
        {shown.lastCheckedAt === null ? "never" : <Ago time={shown.lastCheckedAt} />}
        <span class="sub">
          {shown.nextPollAt === null ? (
            "no next poll"
          ) : (
            <>
              next poll {shown.state === "running" ? "now" : <Ago time={shown.nextPollAt} />}, every {shown.every}
            </>
          )}
        </span>
      </td>
      <td role="cell" data-label="Needs you">
        {status === undefined ? "…" : <NeedsYou needs={Labels.needs(status, new Date())} of={connection} />}
      </td>
    </tr>
  )
}

const NothingYet = () => (
  <Empty title="Nothing is connected yet">
    <p>A connection is one account of one kind of source: a mailbox, a Slack workspace, a file server.</p>
    <p>
      <a class="button primary" href="#/connect">
        Connect an account
      </a>
    </p>
    <p>or on the command line:</p>
    <pre>idem connect gmail --name me --credentials @gmail.json</pre>
  </Empty>
)

export const ConnectionsPage = () => {
  const [text, setText] = useState("")
  const [pages, setPages] = useState(1)
  const { data, error } = useQuery({
    queryKey: ["connections"],
    queryFn: Api.connections,
    refetchInterval: 5000
  })
  const wanted = text.trim().toLowerCase()
  const found = (data ?? []).filter((each) =>
    [each.name, each.account, each.domain].some((word) => word.toLowerCase().includes(wanted))
  )
  const shown = found.slice(0, pages * pageSize)
  const statuses = useQueries({
    queries: shown.map(({ id, state }) => ({
      queryKey: ["connection", id, "status"],
      queryFn: (context: { readonly signal: AbortSignal }) => Api.status(id, context),
      refetchInterval: state === "running" ? 1000 : 15_000
    }))
  }).map((query) => query.data)
  const paused = (data ?? []).filter((each) => each.state === "paused")
  const needy = statuses.filter((status) => status !== undefined && Labels.needs(status, new Date()).length > 0)
  return (
    <>
      <div class="heading">
        <Title name="Connections" />
        <a class="button primary" href="#/connect">
          Connect an account
        </a>
      </div>
      {error instanceof Api.Problem ? (
        <Notice tone="bad" announced>
          <p>{error.message}</p>
        </Notice>
      ) : null}
      {data === undefined ? (
        <Loading what="the connections" />
      ) : data.length === 0 ? (
        <NothingYet />
      ) : (
        <>
          {data.length <= 10 ? null : (
            <p>
              <label>
                Find{" "}
                <input
                  type="search"
                  value={text}
                  onInput={(event) => {
                    setText(event.currentTarget.value)
                    setPages(1)
                  }}
                />
              </label>
            </p>
          )}
          <p class="summary">
            {Format.many(data.length, "connection")}
            {paused.length === 0 ? "" : `, ${Format.count(paused.length)} paused`}
            {needy.length === 0 ? "" : `, ${Format.count(needy.length)} ${needy.length === 1 ? "needs" : "need"} you`}
          </p>
          <CardTable
            label="Connections"
            columns={["Connection", "State", "Stored", "Last run", "Last check", "Needs you"]}
            numbers={["Stored"]}
          >
            {shown.map((connection, index) => (
              <Row key={connection.id} connection={connection} status={statuses[index]} />
            ))}
          </CardTable>
          {found.length === 0 ? <p>No connection has this in its name, account or kind.</p> : null}
          {found.length > pages * pageSize ? (
            <button type="button" onClick={() => setPages(pages + 1)}>
              Show more
            </button>
          ) : null}
        </>
      )}
    </>
  )
}
