/** The checkpoint of a REST source: the pass over its resources, and how far it has come. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { fail } from "./HttpRequest.ts"
import { CheckpointExpired, type IntegrationError } from "./IntegrationError.ts"
import type { Coverage } from "./Page.ts"
import type { makeWalk } from "./RestPage.ts"
import type { RestPath, RestResource } from "./RestResource.ts"

/** Sources show a change late, and clocks differ within them. */
const overlapMillis = 5 * 60_000

const Pass = Schema.Struct({
  id: Schema.String,
  resource: Schema.String,
  /** The page to read: a path for `Link`, else the value of its parameter. Absent on the first page. */
  next: Schema.optionalKey(Schema.String),
  /** When the listing of the resource began, by the server's clock, in milliseconds. Absent if it does not tell. */
  began: Schema.optionalKey(Schema.Finite),
  /** The resource and its children of which something could not be read: nothing of these is absent. */
  broken: Schema.Array(Schema.String),
  /** Those that were read, but not by pages that show everything: nothing of these is absent either. */
  counted: Schema.Array(Schema.String),
  /** The pages before, where they are asked for conditionally. */
  pages: Schema.optionalKey(Schema.Literals(["read", "unchanged"])),
  /** True if pages are read whether they have changed or not. */
  isAfresh: Schema.optionalKey(Schema.Boolean),
  /** The list of children to read next, of an item of this page. The page is read again before it. */
  child: Schema.optionalKey(
    Schema.Struct({
      name: Schema.String,
      /** The id of the item, encoded. */
      parent: Schema.String,
      next: Schema.optionalKey(Schema.String),
      /** False once a child could not be read. */
      isWhole: Schema.Boolean,
      /** How many lists of children of this page come before it. */
      index: Schema.optionalKey(Schema.Int)
    })
  )
})
export type Pass = typeof Pass.Type

export const Checkpoint = Schema.Struct({
  /** By resource, the time in milliseconds from which its changes are to be listed. */
  since: Schema.Record(Schema.String, Schema.Finite),
  pass: Schema.optionalKey(Pass)
})
export type Checkpoint = typeof Checkpoint.Type

type Walk = ReturnType<typeof makeWalk>

export interface ChildList {
  readonly name: string
  readonly parent: string
  readonly path: RestPath
  readonly next: string | undefined
  readonly isWhole: boolean
  readonly index: number
  readonly walk: Walk
}

/** The next step after the page of a resource, once its children are listed. */
type Onward = { readonly to: "page"; readonly next: string } | { readonly to: "again" } | { readonly to: "end" }

export interface State {
  readonly since: Checkpoint["since"]
  readonly pass: Pass
  readonly walk: Walk
  readonly isResumed: boolean
  /** The children of this page that are still to be listed. */
  readonly queue: ReadonlyArray<ChildList>
  readonly onward: Onward
}

/**
 * When the listing of the resource began: the `Date` of its first page. If that is before the time `since` from which
 * changes are listed, the server's clock was ahead at the last poll, and is right again: what changed meanwhile would
 * never be listed.
 */
export const beganAt = (
  host: string,
  { began, next, resource }: Pass,
  since: number | undefined,
  dated: number | undefined
): Effect.Effect<number | undefined, IntegrationError> => {
  if (next !== undefined) return Effect.succeed(began)
  if (since === undefined || dated === undefined || dated >= since) return Effect.succeed(began ?? dated)
  return fail(new CheckpointExpired({ message: `the clock of ${host} went back: all ${resource} are listed` }))
}

/** The checkpoint of a list of children. */
const childCheckpoint = ({ index, isWhole, name, next, parent }: ChildList): NonNullable<Pass["child"]> => ({
  name,
  parent,
  isWhole,
  index,
  ...(next === undefined ? {} : { next })
})

/** The checkpoint before the first list of children in the queue, or before the page if none is left. */
export const checkpointAt = ({ pass, queue: [child], since }: Pick<State, "pass" | "queue" | "since">): Checkpoint => ({
  since,
  pass: child === undefined ? pass : { ...pass, child: childCheckpoint(child) }
})

/** The checkpoint once this page and its children are listed. */
export const checkpointAfter = (
  resource: RestResource,
  following: string | undefined,
  { onward, pass, since }: Pick<State, "onward" | "pass" | "since">
): Checkpoint => {
  const { child: _, ...here } = pass
  if (onward.to === "page") return { since, pass: { ...here, next: onward.next } }
  const { began, id } = here
  if (onward.to === "again") {
    return { since, pass: { id, resource: here.resource, broken: [], counted: [], isAfresh: true } }
  }
  return {
    since:
      resource.since !== undefined && began !== undefined && here.broken.length === 0
        ? { ...since, [here.resource]: began - overlapMillis }
        : since,
    ...(following === undefined ? {} : { pass: { id, resource: following, broken: [], counted: [] } })
  }
}

/** The coverage of a resource that was listed to its end. A pass in which pages were unchanged has shown no absence. */
export const coveredBy = ({ absentIsDeleted, children }: RestResource, pass: Pass): ReadonlyArray<Coverage> => {
  const isWhole = (name: string) => !pass.broken.includes(name) && !pass.counted.includes(name)
  if (!absentIsDeleted || !isWhole(pass.resource) || pass.pages === "unchanged") return []
  const whole = Object.entries(children).filter(([name, child]) => child.absentIsDeleted && isWhole(name))
  return [pass.resource, ...whole.map(([name]) => name)].map((name) => ({ prefix: `${name}/` }))
}

/** The pass with more names of what is not whole. */
export const withNames = (pass: Pass, field: "broken" | "counted", names: ReadonlyArray<string>): Pass => ({
  ...pass,
  [field]: [...new Set([...pass[field], ...names])]
})

/**
 * The lists that are left of a page's queue since a listing was interrupted at `child`. `isShifted` is true if other
 * lists than those that were read stand before it.
 */
export const resumed = (queue: ReadonlyArray<ChildList>, child: Pass["child"]) => {
  const from = queue.findIndex(({ name, parent }) => name === child?.name && parent === child.parent)
  if (child === undefined || from === -1) return { left: queue, isShifted: false }
  const { index, isWhole, next } = child
  const left = queue.slice(from).map((one, at) => (at === 0 ? { ...one, next, isWhole } : one))
  return { left, isShifted: from !== index }
}
