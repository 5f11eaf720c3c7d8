/** The quota of a source: how every request is made, and what each one spends. */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { About } from "./Field.ts"
import type { IntegrationError } from "./IntegrationError.ts"

/**
 * Makes a request to the source. Waits for `units` of the account's quota, counts the call, ends it at its deadline,
 * and retries `Transient` and briefly `RateLimited` failures. So the effect must be safe to repeat.
 *
 * `method` is the provider's name (`messages.get`): the config may give it another weight or a limit of its own.
 */
export type Call = <A>(
  method: string,
  units: number,
  effect: Effect.Effect<A, IntegrationError>
) => Effect.Effect<A, IntegrationError>

/** The quota that the provider grants: units a minute for the account, weights by method, and limits by method. */
export interface Quota {
  readonly unitsPerMinute: number
  /** Units of a call by method. They replace the units that the integration passes to `call`. */
  readonly weights?: Readonly<Record<string, number>> | undefined
  /** Calls a minute by method, in addition to the account's units. */
  readonly methods?: Readonly<Record<string, number>> | undefined
}

/**
 * An allowance that the provider counts under one key: an account, a workspace, an OAuth client. The calls of all
 * connections with the same key spend from it.
 */
export interface Budget {
  /**
   * The key that the provider counts by. It is unique within the integration: prefix it with its kind if there are
   * several kinds.
   */
  readonly key: string
  readonly unitsPerMinute?: number | undefined
  readonly unitsPerDay?: number | undefined
  /** Bytes of bodies a day. A body is counted after it has been read: if the limit is exceeded, the next call waits. */
  readonly bytesPerDay?: number | undefined
  /** Calls a minute by method. */
  readonly methods?: Readonly<Record<string, number>> | undefined
}

/** The `quota` field of a config: the values that differ from the provider's default grant. */
export const QuotaConfig = Schema.Struct({
  unitsPerMinute: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
  weights: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0))))
  ),
  methods: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))))
})

/** Units a minute that amount to no limit, for stand-ins and a person's own servers. */
export const unlimited = 1_000_000_000

/** The description of a `quota` field. */
export const aboutQuota: About = {
  title: "Limits of the source",
  description: "Limits to use instead of the provider's defaults. The example is for a server without limits.",
  example: { unitsPerMinute: unlimited },
  isAdvanced: true
}
