/** The history of a connection's runs, newest first. */
import { useQuery } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { Ago, Badge, Empty, ErrorNotice, Loading, Time } from "./Components.tsx"
import * as Labels from "./Labels.ts"

const counted: ReadonlyArray<readonly [string, (run: Api.Run) => number]> = [
  ["listed", (run) => run.listed],
  ["forced", (run) => run.forced],
  ["retried", (run) => run.retried],
  ["existing", (run) => run.existing],
  ["stored", (run) => run.stored],
  ["updated", (run) => run.updated],
  ["unchanged", (run) => run.unchanged],
  ["failed", (run) => run.failed],
  ["gone", (run) => run.gone],
  ["deferred", (run) => run.deferred],
  ["patched", (run) => run.patched],
  ["deleted", (run) => run.deleted],
  ["deletions held", (run) => run.deletionsHeld],
  ["downloads", (run) => run.downloads],
  ["calls", (run) => run.apiCalls],
  ["quota units", (run) => run.quotaUnits],
  ["checker queries", (run) => run.checkerQueries]
]

const RunItem = ({ run }: { readonly run: Api.Run }) => {
  const { text, tone } = Labels.runStatus[run.status]
  return (
    <li class="run">
      <div class="run-head">
        <Badge tone={tone}>{text}</Badge>
        <span class="run-outcome">{Labels.outcome(run)}</span>
        <span class="quiet-text">
          {Labels.runKind(run) === undefined ? "" : `${Labels.runKind(run)} · `}
          <Ago time={run.startedAt} />
          {run.durationMs === null ? "" : ` · ${Format.duration(run.durationMs)}`} · {Format.many(run.apiCalls, "call")}{" "}
          · {Format.many(run.quotaUnits, "unit")}
        </span>
      </div>
      {run.error === null ? null : (
        <p class="tone-bad">
          {Labels.reason(run.error.reason)}: {run.error.message}
        </p>
      )}
      {run.notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
      {run.problems.length === 0 ? null : (
        <ul>
          {run.problems.map(({ message, place }) => (
            <li key={`${place} ${message}`}>
              <strong>{place}</strong>: {message}
            </li>
          ))}
        </ul>
      )}
      <details>
        <summary>All counts</summary>
        <dl class="counts">
          {counted.map(([name, of]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{Format.count(of(run))}</dd>
            </div>
          ))}
        </dl>
        <p class="quiet-text">
          Began <Time time={run.startedAt} />; run <code>{run.run}</code>
          {run.task === null ? "" : ", asked for by hand"}.
        </p>
      </details>
    </li>
  )
}

export const RunsPage = ({ status }: { readonly status: Api.Status }) => {
  const [limit, setLimit] = useState(30)
  const [quiet, setQuiet] = useState(true)
  const { data, error } = useQuery({
    queryKey: ["connection", status.id, "runs", limit],
    queryFn: (context) => Api.runs(status.id, limit, context),
    refetchInterval: status.state === "running" ? 1000 : 10_000,
    placeholderData: (before) => before
  })
  if (data === undefined)
    return error instanceof Api.Problem ? <ErrorNotice error={error} /> : <Loading what="the runs" />
  const isQuiet = (run: Api.Run) =>
    run.status === "succeeded" &&
    run.notes.length === 0 &&
    run.problems.length === 0 &&
    Labels.outcome(run) === "nothing new"
  const shown = quiet ? data : data.filter((run) => !isQuiet(run))
  return (
    <section aria-labelledby="runs">
      <div class="heading">
        <h2 id="runs">Runs</h2>
        <label class="inline">
          <input type="checkbox" checked={!quiet} onChange={(event) => setQuiet(!event.currentTarget.checked)} /> Leave
          out those with nothing new
        </label>
      </div>
      {data.length === 0 ? (
        <Empty title="No run yet">
          <p>The first begins by itself at the next poll, or at once by “Sync…”.</p>
        </Empty>
      ) : shown.length === 0 ? (
        <p>The last {Format.many(data.length, "run")} found nothing new.</p>
      ) : (
        <ol class="runs plain">
          {shown.map((run) => (
            <RunItem key={run.run} run={run} />
          ))}
        </ol>
      )}
      {data.length === limit && limit < 1000 ? (
        <button type="button" onClick={() => setLimit(Math.min(limit * 3, 1000))}>
          Show older runs
        </button>
      ) : null}
    </section>
  )
}
