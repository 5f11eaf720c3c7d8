/**
 * Gauges that are read when metrics are scraped or sent: connections and their ledgers, by one query to the store, and
 * figures of the process. In a cluster every process reports the same values of the store.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { FeedHolder } from "../model/Change.ts"
import { LedgerState } from "../model/Content.ts"
import type { Overview } from "../model/Overview.ts"
import { FeedStore } from "../store/FeedStore.ts"
import { OverviewStore } from "../store/OverviewStore.ts"

/** How long the store's values are cached, so that several scrapers cost one query. */
const freshFor = Duration.seconds(5)

/** How often the gauges are updated when they are sent to a collector. */
const sentEvery = Duration.seconds(15)

/** True if metrics are sent to a collector, not only scraped. */
export const IsExported = Context.Reference<boolean>("idem/engine/telemetry/Gauges/IsExported", {
  defaultValue: () => false
})

/** The time limit of the store's query. */
const timeout = Duration.seconds(3)

interface Sample {
  readonly name: string
  readonly description: string
  readonly attributes: Record<string, string>
  readonly value: number
}

/**
 * Adds zeros for each domain that has connections. If a series began with its first item, an alert on its growth would
 * miss that item: https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
 */
const withZeros = (overview: Overview): Overview => {
  const { connections, deletionsHeld, ledger } = overview
  const domains = [...new Set(connections.map(({ domain }) => domain))]
  return {
    ...overview,
    deletionsHeld: domains.map((domain) => ({
      domain,
      count: deletionsHeld.find((held) => held.domain === domain)?.count ?? 0
    })),
    ledger: domains.flatMap((domain) =>
      LedgerState.literals.map((state) => ({
        domain,
        state,
        count: ledger.find((items) => items.domain === domain && items.state === state)?.count ?? 0
      }))
    )
  }
}

const samplesOf = (overview: Overview, holder: FeedHolder | null): ReadonlyArray<Sample> => [
  ...overview.connections.map(({ count, domain, state }) => ({
    name: "idem_connections",
    description: "Connections by state.",
    attributes: { domain, state },
    value: count
  })),
  ...overview.ledger.map(({ count, domain, state }) => ({
    name: "idem_ledger_items",
    description:
      "Items in the ledger: failed (retried later), dead (retried only by hand), deferred (due at the next poll).",
    attributes: { domain, state },
    value: count
  })),
  ...overview.deletionsHeld.map(({ count, domain }) => ({
    name: "idem_deletions_held",
    description: "Deletions that wait for a person to approve them.",
    attributes: { domain },
    value: count
  })),
  ...overview.sessions.map(({ count, state }) => ({
    name: "idem_database_sessions",
    description: "Database sessions of all Idem processes, by the state that PostgreSQL reports.",
    attributes: { state },
    value: count
  })),
  {
    name: "idem_feed_waits_seconds",
    description: "Age of the oldest transaction that the feed of changes waits for.",
    attributes: holder === null ? {} : { application: holder.application ?? "" },
    value: holder?.seconds ?? 0
  },
  {
    name: "idem_overdue_seconds",
    description: "How long the longest waiting connection has been due, for a poll or a task.",
    attributes: {},
    value: overview.overdueSeconds
  }
]

/**
 * Gauges of other parts of Idem, which are read together with those of the store. They are left out if they can't be
 * read.
 */
export const AdditionalGauges = Context.Reference<Effect.Effect<ReadonlyArray<Sample>, unknown>>(
  "idem/engine/telemetry/Gauges/AdditionalGauges",
  { defaultValue: () => Effect.succeed([]) }
)

const up = Metric.gauge("idem_database_up", { description: "1 if the database answered the last query, else 0." })

/** Figures of the process, under the names that Prometheus' client libraries use. */
const ofProcess = [
  {
    name: "process_resident_memory_bytes",
    description: "Resident memory.",
    read: () => process.memoryUsage.rss()
  },
  {
    name: "nodejs_heap_size_used_bytes",
    description: "Used memory of the heap.",
    read: () => process.memoryUsage().heapUsed
  },
  {
    name: "process_start_time_seconds",
    description: "Start time of the process, in seconds since the epoch.",
    read: () => Math.round(performance.timeOrigin) / 1000
  }
]

export class Gauges extends Context.Service<
  Gauges,
  {
    /** Updates the gauges, unless they are cached. Removes the store's gauges if the store does not answer. */
    readonly refresh: Effect.Effect<void>
  }
>()("idem/engine/telemetry/Gauges") {
  static readonly layer: Layer.Layer<Gauges, never, OverviewStore | FeedStore> = Layer.effect(
    Gauges,
    Effect.gen(function* () {
      const overviews = yield* OverviewStore
      const feed = yield* FeedStore
      const added = yield* AdditionalGauges
      const context = yield* Effect.context<never>()
      const shown = new Map<string, Metric.Gauge<number>>()
      let askedAt = Number.NEGATIVE_INFINITY

      for (const { description, name, read } of ofProcess) {
        const hooks = { get: () => ({ value: read() }), update: () => {}, modify: () => {} }
        const registration = Metric.registerUnsafe(Metric.gauge(name, { description }), context, hooks)
        yield* Effect.addFinalizer(() => Effect.sync(() => registration.remove()))
      }
      const cpu = Metric.registerUnsafe(
        Metric.counter("process_cpu_seconds_total", { description: "CPU time, of user and system." }),
        context,
        {
          get: () => {
            const { system, user } = process.cpuUsage()
            return { count: (system + user) / 1e6, incremental: true }
          },
          update: () => {},
          modify: () => {}
        }
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => cpu.remove()))

      const show = Effect.fnUntraced(function* (samples: ReadonlyArray<Sample>) {
        const gone = new Set(shown.keys())
        for (const { attributes, description, name, value } of samples) {
          const key = `${name} ${JSON.stringify(attributes)}`
          const gauge = shown.get(key) ?? Metric.gauge(name, { description, attributes })
          shown.set(key, gauge)
          gone.delete(key)
          yield* Metric.update(gauge, value)
        }
        for (const key of gone) {
          const gauge = shown.get(key)
          if (gauge !== undefined) yield* Metric.remove(gauge)
          shown.delete(key)
        }
      })

      const refresh = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        if (now - askedAt < Duration.toMillis(freshFor)) return
        askedAt = now
        const answer = yield* Effect.all([overviews.overview, feed.holder]).pipe(
          Effect.timeoutOption(timeout),
          Effect.catchTag("StoreError", () => Effect.succeedNone)
        )
        yield* Metric.update(up, Option.isSome(answer) ? 1 : 0)
        if (Option.isNone(answer)) return yield* show([])
        const others = yield* Effect.timeoutOption(
          Effect.orElseSucceed(added, () => []),
          timeout
        )
        const [overview, holder] = answer.value
        yield* show([...samplesOf(withZeros(overview), holder), ...Option.getOrElse(others, () => [])])
      })
      if (yield* IsExported) yield* Effect.forkScoped(Effect.repeat(refresh, Schedule.spaced(sentEvery)))
      return { refresh }
    })
  )
}
