/** The overview of a connection: its current run, its last run, and what is stored. */
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { connectionPath } from "./Location.ts"
import { Ago, Badge, Notice } from "./Components.tsx"
import { Hours } from "./Hours.tsx"
import * as Labels from "./Labels.ts"

/** Shows the progress of a run, with the same numbers as `idem sync`. */
const Progress = ({
  progress,
  run
}: {
  readonly progress: NonNullable<Api.Status["progress"]>
  readonly run: Api.Run
}) => {
  const { ended, expected, perMinute, remainingMs } = progress
  // Without an estimate of the total, the bar is indeterminate.
  const isOpen = expected === null || expected === 0
  const text = isOpen
    ? `${Format.many(ended, "item")} so far`
    : `${Format.count(ended)} of about ${Format.many(expected, "item")}`
  return (
    <section class="panel" aria-labelledby="now">
      <h2 id="now">Running now</h2>
      <progress
        aria-label="Items with an outcome, of those that are expected"
        {...(isOpen ? {} : { max: expected, value: Math.min(ended, expected) })}
      />
      <p class="progress-line">
        <span role="status">{text}</span>
        {perMinute === null ? null : (
          <span>
            {Format.count(Math.round(perMinute))} a minute
            {remainingMs === null ? "" : `, about ${Format.duration(remainingMs)} left`}
          </span>
        )}
        <span class="quiet-text">
          {Labels.outcome(run)} · {Format.many(run.apiCalls, "call")} · {Format.count(run.quotaUnits)} units of quota
        </span>
      </p>
    </section>
  )
}

const LastRun = ({ run, status }: { readonly run: Api.Run | null; readonly status: Api.Status }) => (
  <section class="panel" aria-labelledby="last-run">
    <h2 id="last-run">Last run</h2>
    {run === null ? (
      <p>
        None yet.{" "}
        {status.nextPollAt === null ? null : (
          <>
            The first begins <Ago time={status.nextPollAt} />.
          </>
        )}
      </p>
    ) : (
      <>
        <p>
          <Badge tone={Labels.runStatus[run.status].tone}>{Labels.runStatus[run.status].text}</Badge>{" "}
          <Ago time={run.startedAt} />
          {run.durationMs === null ? "" : `, in ${Format.duration(run.durationMs)}`}: {Labels.outcome(run)}
        </p>
        {run.error === null ? null : (
          <p class="tone-bad">
            {Labels.reason(run.error.reason)}: {run.error.message}
          </p>
        )}
        {run.problems.length === 0 ? null : (
          <p>
            <a href={`#${connectionPath(status.id, "runs")}`}>{Format.many(run.problems.length, "problem")}</a>
          </p>
        )}
      </>
    )}
  </section>
)

const Problems = ({ problems }: Pick<Api.Status, "problems">) =>
  problems.length === 0 ? null : (
    <section class="panel" aria-labelledby="problems">
      <h2 id="problems">Not listed</h2>
      <ul class="plain">
        {problems.map(({ message, place }) => (
          <li key={place}>
            <span class="tone-warn">{place}</span>: {message}
          </li>
        ))}
      </ul>
    </section>
  )

const Stored = ({ status }: { readonly status: Api.Status }) => {
  const { totals } = status
  const facts = [
    { name: "Stored", value: Format.count(totals.stored), more: Format.bytes(totals.bytes), to: "contents" },
    { name: "Failed", value: Format.count(totals.failed), more: "tried again", to: "ledger" },
    { name: "Dead", value: Format.count(totals.dead), more: "need you", to: "ledger" },
    { name: "Deferred", value: Format.count(totals.deferred), more: "next poll", to: "ledger" },
    { name: "Deleted", value: Format.count(totals.deleted), more: "at the source", to: "contents" },
    {
      name: "Next poll",
      value:
        status.state === "running" ? "now" : status.nextPollAt === null ? "none" : <Ago time={status.nextPollAt} />,
      more: `every ${status.every}`,
      to: "settings"
    }
  ]
  return (
    <dl class="facts">
      {facts.map(({ more, name, to, value }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <a
              href={`#${connectionPath(status.id, to, name === "Deleted" ? { state: "deleted" } : {})}`}
              aria-label={typeof value === "string" ? `${name}: ${value}` : undefined}
            >
              {value}
            </a>
            <span class="sub">{more}</span>
          </dd>
        </div>
      ))}
    </dl>
  )
}

const Unfinished = ({ status }: { readonly status: Api.Status }) =>
  status.unfinished.length === 0 ? null : (
    <section class="panel" aria-labelledby="unfinished">
      <h2 id="unfinished">Asked for, not yet done</h2>
      <ul>
        {status.unfinished.map(({ createdAt, spec, task }) => (
          <li key={task}>
            {spec === "" ? "a sync" : <code>{spec}</code>} <Ago time={createdAt} />
          </li>
        ))}
      </ul>
    </section>
  )

export const Overview = ({ status }: { readonly status: Api.Status }) => {
  const run = status.lastRun
  return (
    <>
      {run?.status === "running" && status.progress !== null ? (
        <Progress run={run} progress={status.progress} />
      ) : (
        <LastRun run={run} status={status} />
      )}
      {status.askedToWaitUntil === null ? null : (
        <Notice tone="busy" title="The source asked Idem to wait">
          <p>
            It is asked again <Ago time={status.askedToWaitUntil} />, by itself. Nothing is lost meanwhile.
          </p>
        </Notice>
      )}
      <Problems problems={status.problems} />
      <Unfinished status={status} />
      <Stored status={status} />
      <Hours status={status} />
      {status.lastCheckedAt === null ? null : (
        <p class="quiet-text">
          Last checked <Ago time={status.lastCheckedAt} />.
        </p>
      )}
      {status.holder === null ? null : <p class="quiet-text">Run by {status.holder}.</p>}
    </>
  )
}
