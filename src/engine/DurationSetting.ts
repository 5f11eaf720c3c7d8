/** Settings that are durations within bounds. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * The setting `name`, by default `standard`. An empty value counts as not set, as compose files write it. The bounds
 * refuse what parses and would destroy or stop something: a negative time, none, one that never ends.
 */
export const make = (
  name: string,
  options: {
    readonly standard: Duration.Duration
    readonly least: Duration.Duration
    readonly most: Duration.Duration
  }
): Config.Config<Duration.Duration> => {
  const { least, most, standard } = options
  const isWithin = Duration.between({ minimum: least, maximum: most })
  const bounds = `a duration from ${Duration.format(least)} to ${Duration.format(most)}`
  const bounded = Schema.DurationFromString.check(Schema.makeFilter((given) => isWithin(given) || bounds))
  return Config.schema(Schema.Union([bounded, Schema.Literal("")]), name).pipe(
    Config.withDefault(standard),
    Config.map((given) => (given === "" ? standard : given))
  )
}

/** `IDEM_SHUTDOWN_TIMEOUT`: how long a process has to stop, its server and its polling. By default 30 seconds. */
export const shutdownTimeout = make("IDEM_SHUTDOWN_TIMEOUT", {
  standard: Duration.seconds(30),
  least: Duration.seconds(1),
  most: Duration.hours(1)
})
