/** Shows a connection's work by the hour: plots, and the same figures as a table. */
import { useQuery } from "@tanstack/preact-query"
import { useMemo, useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { Empty, Loading } from "./Components.tsx"
import * as Format from "./Format.ts"
import { HourPlot } from "./Plot.tsx"

const spans = [
  { hours: 24, name: "24 hours" },
  { hours: 48, name: "48 hours" },
  { hours: 168, name: "7 days" },
  { hours: 744, name: "31 days" }
]

const usualSpan = 48
const longestSpan = 744

const itemSeries = [
  { name: "Stored", color: "--plot-1", of: (hour: Api.Hour) => hour.stored },
  { name: "Updated", color: "--plot-2", of: (hour: Api.Hour) => hour.updated },
  { name: "Unchanged", color: "--plot-3", of: (hour: Api.Hour) => hour.unchanged },
  { name: "Failed", color: "--plot-4", of: (hour: Api.Hour) => hour.failed }
]

/** The fewest hours that are shown: with fewer, the bars would be very wide. */
const fewestHours = 12

const hasItems = (hour: Api.Hour): boolean => itemSeries.some(({ of }) => of(hour) > 0)
const hasRun = (hour: Api.Hour): boolean => hour.runs > 0

/** Removes the hours before the first run. */
const sinceFirstRun = (hours: ReadonlyArray<Api.Hour>): ReadonlyArray<Api.Hour> => {
  const first = hours.findIndex(hasRun)
  return first < 0 ? hours : hours.slice(Math.min(first, Math.max(0, hours.length - fewestHours)))
}

/** Returns the shortest span whose hours have items, or else the shortest with a run. Undefined until that is known. */
const spanWithData = (
  recent: ReadonlyArray<Api.Hour> | undefined,
  all: ReadonlyArray<Api.Hour> | undefined
): number | undefined => {
  if (recent?.some(hasItems) === true) return usualSpan
  if (all === undefined) return undefined
  const within = (has: (hour: Api.Hour) => boolean) => spans.find(({ hours }) => all.slice(-hours).some(has))?.hours
  return within(hasItems) ?? within(hasRun) ?? usualSpan
}

const quotaSeries = [{ name: "Quota units", color: "--plot-2", of: (hour: Api.Hour) => hour.quotaUnits }]

const HourTable = ({ hours }: { readonly hours: ReadonlyArray<Api.Hour> }) => (
  // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reached by keyboard
  <div class="table tall" role="region" aria-label="What the runs did by the hour" tabIndex={0}>
    <table>
      <thead>
        <tr>
          <th scope="col">Hour</th>
          {["Runs", "Stored", "Updated", "Unchanged", "Failed", "Deleted", "Calls", "Units"].map((name) => (
            <th key={name} scope="col" class="number">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {hours
          .filter((hour) => hour.runs > 0)
          .toReversed()
          .map((hour) => (
            <tr key={hour.hour}>
              <th scope="row">{Format.time(hour.hour)}</th>
              {[
                hour.runs,
                hour.stored,
                hour.updated,
                hour.unchanged,
                hour.failed,
                hour.deleted,
                hour.apiCalls,
                hour.quotaUnits
              ].map((value, index) => (
                <td key={index} class="number">
                  {Format.count(value)}
                </td>
              ))}
            </tr>
          ))}
      </tbody>
    </table>
  </div>
)

const useHours = (status: Api.Status, hours: number | undefined, every: number) =>
  useQuery({
    queryKey: ["connection", status.id, "statistics", hours],
    queryFn: (context) => Api.statistics(status.id, hours ?? usualSpan, context),
    enabled: hours !== undefined,
    refetchInterval: every
  }).data

export const Hours = ({ status }: { readonly status: Api.Status }) => {
  const [chosen, choose] = useState<number>()
  const recent = useHours(status, usualSpan, status.state === "running" ? 5000 : 60_000)
  const isEmpty = recent !== undefined && !recent.some(hasItems)
  const all = useHours(status, chosen === undefined && isEmpty ? longestSpan : undefined, 600_000)
  const span = chosen ?? spanWithData(recent, all)
  const found = useHours(status, span, 60_000)
  const data = useMemo(() => found && (chosen === undefined ? sinceFirstRun(found) : found), [chosen, found])
  const quiet = data !== undefined && !data.some(hasRun)
  const limit = status.unitsPerMinute === null ? undefined : status.unitsPerMinute * 60
  return (
    <section class="panel" aria-labelledby="by-hour">
      <div class="heading">
        <h2 id="by-hour">By the hour</h2>
        <label class="inline">
          Last{" "}
          <select value={span ?? usualSpan} onChange={(event) => choose(Number(event.currentTarget.value))}>
            {spans.map((span) => (
              <option key={span.hours} value={span.hours}>
                {span.name}
              </option>
            ))}
          </select>
        </label>
      </div>
      {data === undefined ? (
        <Loading what="the statistics" />
      ) : quiet ? (
        <Empty title="No run in this time" />
      ) : (
        <>
          <HourPlot title="Items per hour" hours={data} series={itemSeries} />
          <HourPlot title="Quota units per hour" hours={data} series={quotaSeries} limit={limit} />
          <details>
            <summary>The same as a table</summary>
            <HourTable hours={data} />
          </details>
        </>
      )}
    </section>
  )
}
