/** All connections at a glance. */
import { useQuery } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { connectionPath } from "./Location.ts"
import { Ago, Badge, Empty, Loading, Notice, Title } from "./Components.tsx"
import * as Words from "./Labels.ts"

/** Rows of one page. Each row requests a status of its own. */
const pageSize = 50

const Attention = ({ status }: { readonly status: Api.Status }) => {
  const { totals } = status
  const links = [
    Words.isStuck(status) ? { to: "", text: "paused: the next step", tone: "warn" as const } : undefined,
    Words.isFailing(status) ? { to: "", text: "failing: the reason", tone: "bad" as const } : undefined,
    totals.deletionsHeld > 0
      ? { to: "deletions", text: `${Format.many(totals.deletionsHeld, "deletion")} to approve`, tone: "warn" as const }
      : undefined,
    status.problems.length > 0
      ? { to: "", text: `${Format.many(status.problems.length, "place")} not listed`, tone: "warn" as const }
      : undefined,
    totals.dead > 0 ? { to: "ledger", text: `${Format.count(totals.dead)} given up`, tone: "bad" as const } : undefined,
    totals.failed > 0
      ? { to: "ledger", text: `${Format.count(totals.failed)} failing`, tone: "warn" as const }
      : undefined
  ].filter((each) => each !== undefined)
  return links.length === 0 ? (
    <span class="quiet-text">nothing</span>
  ) : (
    <ul class="plain">
      {links.map(({ text, to, tone }) => (
        <li key={text}>
          <a class={`tone-${tone}`} href={`#${connectionPath(status.id, to)}`}>
            {text}
          </a>
        </li>
      ))}
    </ul>
  )
}

const Row = ({ connection }: { readonly connection: Api.Connection }) => {
  const running = connection.state === "running"
  const { data: status } = useQuery({
    queryKey: ["connection", connection.id, "status"],
    queryFn: (context) => Api.status(connection.id, context),
    refetchInterval: running ? 1000 : 15_000
  })
  const shown = status ?? connection
  const { text, tone } = Words.stateOf(shown)
  const run = status?.lastRun ?? null
  return (
    <tr role="row">
      <th role="rowheader" scope="row" data-label="Connection" class="whose">
        <a href={`#${connectionPath(connection.id)}`}>{connection.name}</a>
        <span class="sub">
          {connection.domain} · {connection.account}
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
            <span class="sub">{run.error === null ? Words.outcome(run) : Words.reason(run.error.reason)}</span>
          </>
        )}
      </td>
      <td role="cell" data-label="Next poll" class="when">
        {running ? "now" : shown.nextPollAt === null ? "none" : <Ago time={shown.nextPollAt} />}
        <span class="sub">every {shown.every}</span>
      </td>
      <td role="cell" data-label="Needs you">
        {status === undefined ? "…" : <Attention status={status} />}
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
    <pre>npx idem connect gmail --name me --credentials @gmail.json</pre>
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
  const paused = (data ?? []).filter((each) => each.state === "paused")
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
          </p>
          <table class="cards" role="table" aria-label="Connections">
            <thead role="rowgroup">
              <tr role="row">
                {["Connection", "State", "Stored", "Last run", "Next poll", "Needs you"].map((name) => (
                  <th key={name} role="columnheader" scope="col" class={name === "Stored" ? "number" : undefined}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody role="rowgroup">
              {found.slice(0, pages * pageSize).map((connection) => (
                <Row key={connection.id} connection={connection} />
              ))}
            </tbody>
          </table>
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
