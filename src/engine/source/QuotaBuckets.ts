/** The token buckets and windows that a call spends from: those of its budgets and of its method. */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Budget } from "../../contract/Integration.ts"
import { unlimited } from "../../contract/Quota.ts"

/** Returns the budgets that limit bytes a day. */
export const bytesOf = (domain: string, budgets: ReadonlyArray<Budget>) =>
  budgets.flatMap(({ bytesPerDay, key }) =>
    bytesPerDay === undefined
      ? []
      : [{ key: `${domain}/${key} bytes a day`, name: key, per: "day" as const, limit: bytesPerDay }]
  )

/** A limit from which a call takes `tokens`. */
export interface Bucket {
  readonly key: string
  /** The budget's name, shown to people. */
  readonly name: string
  readonly per: "minute" | "day"
  readonly limit: number
  readonly tokens: number
}

/** Returns the limits that a call of this method spends from, those of a day first. */
export const bucketsOf = (domain: string, budgets: ReadonlyArray<Budget>, method: string, units: number) => {
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

/**
 * Returns the limit that slows down when the provider refuses a call: the method's own limit if it has one, else that
 * of all calls of the first budget.
 */
export const adaptiveOf = (domain: string, first: Budget, method: string) => {
  const calls = first.methods?.[method]
  const key = `${domain}/${first.key}`
  return calls === undefined
    ? { key, perMinute: first.unitsPerMinute ?? unlimited }
    : { key: `${key}/${method}`, perMinute: calls }
}

/** Says which limit of a day is used up, and until when. */
export const usedUp = ({ key, limit, name }: Bucket, delay: Duration.Duration) =>
  Effect.map(DateTime.now, (now) => {
    const until = DateTime.formatIso(DateTime.addDuration(now, delay))
    return `the ${limit} ${key.endsWith(" bytes a day") ? "bytes" : "units"} a day of ${name} are used up until ${until}`
  })
