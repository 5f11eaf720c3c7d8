/** Settings that are durations within bounds. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * Reads the setting `name` as a duration; `standard` if it is not set or empty, as compose files write it. Fails
 * outside the bounds, which exclude durations that parse but would destroy data or stop a loop: negative, zero, or
 * infinite.
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

/**
 * `IDEM_SHUTDOWN_TIMEOUT`: how long the server and the polling of a process may take to stop. By default 30 seconds.
 */
export const shutdownTimeout = make("IDEM_SHUTDOWN_TIMEOUT", {
  standard: Duration.seconds(30),
  least: Duration.seconds(1),
  most: Duration.hours(1)
})
