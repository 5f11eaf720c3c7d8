/** The limits of a call: the token buckets and windows of its budgets and of its method. */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Budget } from "../../contract/Integration.ts"
import { unlimited } from "../../contract/Quota.ts"

/** A limit from which a call takes `tokens`. */
export interface Bucket {
  readonly key: string
  /** The budget's name, shown to people. */
  readonly name: string
  readonly per: "minute" | "day"
  readonly limit: number
  readonly tokens: number
}

export interface CallLimits {
  /** The limits that the call spends its units from, those of a day first. */
  readonly buckets: ReadonlyArray<Bucket>
  /** The limits of bytes a day. Bodies spend from them when they have been read. */
  readonly bytes: ReadonlyArray<Omit<Bucket, "tokens">>
  /**
   * The limit that slows down when the provider refuses the call: the method's own limit if it has one, else that of
   * all calls of the first budget.
   */
  readonly adaptive: { readonly key: string; readonly perMinute: number }
}

/** Returns the budgets that limit bytes a day. */
const bytesOf = (domain: string, budgets: ReadonlyArray<Budget>) =>
  budgets.flatMap(({ bytesPerDay, key }) =>
    bytesPerDay === undefined
      ? []
      : [{ key: `${domain}/${key} bytes a day`, name: key, per: "day" as const, limit: bytesPerDay }]
  )

const bucketsOf = (domain: string, budgets: ReadonlyArray<Budget>, method: string, units: number) => {
  const buckets = budgets.flatMap(({ key: name, methods, unitsPerDay, unitsPerMinute }): ReadonlyArray<Bucket> => {
    const key = `${domain}/${name}`
    const calls = methods?.[method]
    return [
      ...(unitsPerDay === undefined
        ? []
        : [{ key: `${key} a day`, name, per: "day" as const, limit: unitsPerDay, tokens: units }]),
      ...(calls === undefined
        ? []
        : [{ key: `${key}/${method}`, name, per: "minute" as const, limit: calls, tokens: 1 }]),
      ...(unitsPerMinute === undefined
        ? []
        : [{ key, name, per: "minute" as const, limit: unitsPerMinute, tokens: units }])
    ]
  })
  return buckets.toSorted((a, b) => Number(b.per === "day") - Number(a.per === "day"))
}

const adaptiveOf = (domain: string, first: Budget, method: string) => {
  const calls = first.methods?.[method]
  const key = `${domain}/${first.key}`
  return calls === undefined
    ? { key, perMinute: first.unitsPerMinute ?? unlimited }
    : { key: `${key}/${method}`, perMinute: calls }
}

/** Returns the limits of a call of this method, which costs `units`. */
export const of = (
  domain: string,
  budgets: readonly [Budget, ...ReadonlyArray<Budget>],
  method: string,
  units: number
): CallLimits => ({
  buckets: bucketsOf(domain, budgets, method, units),
  bytes: bytesOf(domain, budgets),
  adaptive: adaptiveOf(domain, budgets[0], method)
})

/** Says which limit of a day is used up, and until when. */
export const usedUp = ({ key, limit, name }: Bucket, delay: Duration.Duration) =>
  Effect.map(DateTime.now, (now) => {
    const until = DateTime.formatIso(DateTime.addDuration(now, delay))
    return `the ${limit} ${key.endsWith(" bytes a day") ? "bytes" : "units"} a day of ${name} are used up until ${until}`
  })
