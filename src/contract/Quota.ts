/** The quota of a source: how every request is made, and what each one spends. */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { About } from "./Field.ts"
import type { IntegrationError } from "./IntegrationError.ts"

/**
 * How every request to the source is made. It waits for `units` of the account's quota, counts the call, ends it at
 * its deadline, and retries `Transient` and briefly `RateLimited` failures. So the effect must be safe to repeat.
 *
 * `method` is the provider's name (`messages.get`): config may give it another weight or a limit of its own.
 */
export type Call = <A>(
  method: string,
  units: number,
  effect: Effect.Effect<A, IntegrationError>
) => Effect.Effect<A, IntegrationError>

/** The provider's grant: units a minute for the account, weights by method, and limits by method. */
export interface Quota {
  readonly unitsPerMinute: number
  /** Units of a method instead of those that the integration passes to `call`. */
  readonly weights?: Readonly<Record<string, number>> | undefined
  /** Calls a minute of one method, besides the account's units. */
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
  /** Bytes of bodies a day. Bodies are counted once they have been read, so that the next call waits for them. */
  readonly bytesPerDay?: number | undefined
  /** Calls a minute of one method. */
  readonly methods?: Readonly<Record<string, number>> | undefined
}

/** The `quota` field of a config: what differs from the provider's default grant. */
export const QuotaConfig = Schema.Struct({
  unitsPerMinute: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
  weights: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0))))
  ),
  methods: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))))
})

/** Units a minute that mean no limit, for stand-ins and servers of one's own. */
export const unlimited = 1_000_000_000

/** The description of a `quota` field. */
export const aboutQuota: About = {
  title: "Limits of the source",
  description: "What differs from the limits that the provider grants by default. A stand-in has none.",
  example: { unitsPerMinute: unlimited },
  isAdvanced: true
}
