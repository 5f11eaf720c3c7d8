/**
 * Metrics of the engine, for `GET /metrics` and for OTLP. Names and units follow Prometheus (seconds, bytes, `_total`).
 * Labels are few and bounded: a domain, a method, an outcome; never a connection, an id or an account.
 *
 * Items are counted once a batch and calls once a call, so that a single item costs nothing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { RunStatus } from "../model/Run.ts"
import * as RunCounts from "../model/RunCounts.ts"

/** Makes a metric with labels. Each set of label values makes one series, which is kept. */
const family = <const Label extends string, Series>(
  labels: ReadonlyArray<Label>,
  make: (values: Record<Label, string>) => Series
): ((...values: ReadonlyArray<string>) => Series) => {
  const series = new Map<string, Series>()
  return (...values) => {
    const key = values.join("\0")
    const found = series.get(key)
    if (found !== undefined) return found
    const made = make(Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""])) as never)
    series.set(key, made)
    return made
  }
}

export const counter = <const Label extends string>(name: string, description: string, labels: ReadonlyArray<Label>) =>
  family(labels, (attributes) => Metric.counter(name, { description, attributes, incremental: true }))

export const histogram = <const Label extends string>(
  name: string,
  description: string,
  labels: ReadonlyArray<Label>,
  boundaries: ReadonlyArray<number>
) => family(labels, (attributes) => Metric.histogram(name, { description, attributes, boundaries }))

/** Bucket boundaries in seconds. */
export const short = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const long = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const late = [0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600]

const runs = counter("idem_runs_total", "Runs that ended. A run executes a task, or a slice of it.", [
  "domain",
  "status"
])
const runDuration = histogram("idem_run_duration_seconds", "Duration of runs.", ["domain"], long)
const items = counter("idem_items_total", "Items that runs handled, by outcome.", ["domain", "outcome"])
const checkerQueries = counter("idem_checker_queries_total", "Queries of the existence checker.", ["domain"])
const downloads = counter("idem_downloads_total", "Downloads of items, including failed ones.", ["domain"])
const downloadedBytes = counter("idem_downloaded_bytes_total", "Bytes of committed bodies.", ["domain"])
const commitDuration = histogram(
  "idem_commit_duration_seconds",
  "Duration of the commit of a batch.",
  ["domain"],
  short
)
const calls = counter("idem_source_calls_total", "Calls to sources, by method and outcome.", [
  "domain",
  "method",
  "outcome"
])
const units = counter("idem_source_quota_units_total", "Quota units of calls to sources.", ["domain", "method"])
const callDuration = histogram("idem_source_call_duration_seconds", "Duration of calls to sources.", ["domain"], short)
const quotaWait = counter("idem_quota_wait_seconds_total", "Time that calls to sources waited for quota.", ["domain"])
const lag = histogram(
  "idem_schedule_lag_seconds",
  "Delay of polls: the time from when a connection was due to the start of its run.",
  ["domain"],
  late
)
const leasesLost = counter(
  "idem_leases_lost_total",
  "Runs that ended because another run took over their connection, or because it was changed.",
  ["domain"]
)

const problems = counter("idem_problems_total", "Places of sources that could not be listed, counted in each run.", [
  "domain"
])

/** The counts of a run that become values of the label `outcome`. */
const outcomes = [...RunCounts.outcomes, "patched", "deleted"] as const

/** Adds these counts of a run to the metrics. */
export const counted = (domain: string, counts: Partial<RunCounts.Counts>): Effect.Effect<void> =>
  Effect.withFiber(({ context }) => {
    const update = (counter: Metric.Counter<number>, more = 0) => {
      if (more > 0) counter.updateUnsafe(more, context)
    }
    for (const outcome of outcomes) update(items(domain, outcome), counts[outcome])
    update(checkerQueries(domain), counts.checkerQueries)
    update(downloads(domain), counts.downloads)
    return Effect.void
  })

/** Records that a batch was committed. */
export const committed = (domain: string, bytes: number, seconds: number): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(commitDuration(domain), seconds),
    bytes > 0 ? Metric.update(downloadedBytes(domain), bytes) : Effect.void
  )

/** Records that a run ended. */
export const ended = (
  domain: string,
  run: {
    readonly status: RunStatus
    readonly seconds: number
    readonly isLeaseLost: boolean
    readonly problems: number
  }
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (run.problems > 0) yield* Metric.update(problems(domain), run.problems)
    yield* Metric.update(runs(domain, run.status), 1)
    yield* Metric.update(runDuration(domain), run.seconds)
    if (run.isLeaseLost) yield* Metric.update(leasesLost(domain), 1)
  })

/** Records that a poll began, this long after it was due. */
export const began = (domain: string, lateSeconds: number): Effect.Effect<void> =>
  Metric.update(lag(domain), lateSeconds)

/**
 * The most methods of one domain that get a series. The bound protects against integrations that put ids into method
 * names.
 */
const methodsAtMost = 50
const methods = new WeakMap<object, Map<string, Set<string>>>()
const bounded = (registry: object, domain: string, method: string): string => {
  const domains = methods.get(registry) ?? new Map<string, Set<string>>()
  methods.set(registry, domains)
  const known = domains.get(domain) ?? new Set()
  domains.set(domain, known)
  if (known.has(method)) return method
  if (known.size >= methodsAtMost) return "other"
  known.add(method)
  return method
}

/**
 * Records that a call to a source ended. `outcome` is `ok`, the reason of an `IntegrationError`, `interrupted` or
 * `defect`.
 */
export const called = (
  domain: string,
  call: {
    readonly method: string
    readonly units: number
    readonly outcome: string
    readonly seconds: number
    readonly waitedSeconds: number
  }
): Effect.Effect<void> =>
  Effect.withFiber(({ context }) => {
    const method = bounded(Context.get(context, Metric.MetricRegistry), domain, call.method)
    calls(domain, method, call.outcome).updateUnsafe(1, context)
    if (call.units > 0) units(domain, method).updateUnsafe(call.units, context)
    callDuration(domain).updateUnsafe(call.seconds, context)
    quotaWait(domain).updateUnsafe(call.waitedSeconds, context)
    return Effect.void
  })
