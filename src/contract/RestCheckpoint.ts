/** The checkpoint of a REST source: the pass over its resources, and how far it has come. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { fail } from "./HttpRequest.ts"
import { CheckpointExpired, type IntegrationError } from "./IntegrationError.ts"
import type { Coverage } from "./Page.ts"
import type { makePageCheck } from "./RestPage.ts"
import type { RestList, RestPath, RestResource } from "./RestResource.ts"

/** Changes are listed again from five minutes before, because sources show changes late and their clocks differ. */
const overlapMillis = 5 * 60_000

const Pass = Schema.Struct({
  id: Schema.String,
  resource: Schema.String,
  /** The page to read: a path for `Link`, else the value of its parameter. Absent on the first page. */
  next: Schema.optionalKey(Schema.String),
  /**
   * When the listing of the resource began, by the server's clock, in milliseconds. Absent if the server sends no
   * `Date`.
   */
  began: Schema.optionalKey(Schema.Finite),
  /**
   * Names of the resource and of its children that could not be read fully: none of their contents counts as absent.
   */
  broken: Schema.Array(Schema.String),
  /**
   * Names of resources that may have been read incompletely, for example by page numbers: nothing of them is absent
   * either.
   */
  counted: Schema.Array(Schema.String),
  /** Whether the pages so far had changed, if they are requested conditionally. */
  pages: Schema.optionalKey(Schema.Literals(["read", "unchanged"])),
  /** True if pages are requested unconditionally in this pass. */
  isAfresh: Schema.optionalKey(Schema.Boolean),
  /**
   * The next list of children to read, of an item of this page. After an interruption, the page is read again first.
   */
  child: Schema.optionalKey(
    Schema.Struct({
      name: Schema.String,
      /** The id of the item, encoded. */
      parent: Schema.String,
      next: Schema.optionalKey(Schema.String),
      /** False once a child of this list could not be read. */
      isWhole: Schema.Boolean,
      /** The number of lists of children of this page before this one. */
      index: Schema.optionalKey(Schema.Int)
    })
  )
})
export type Pass = typeof Pass.Type

export const Checkpoint = Schema.Struct({
  /** The time, in milliseconds, from which each resource's changes are listed next. */
  since: Schema.Record(Schema.String, Schema.Finite),
  pass: Schema.optionalKey(Pass)
})
export type Checkpoint = typeof Checkpoint.Type

type PageCheck = ReturnType<typeof makePageCheck>

export interface ChildList {
  readonly name: string
  readonly parent: string
  readonly path: RestPath
  readonly next: string | undefined
  readonly isWhole: boolean
  readonly index: number
  readonly checkPage: PageCheck
}

/** The next step after a page and its children: the next page, all pages again, or the end of the resource. */
type Onward = { readonly to: "page"; readonly next: string } | { readonly to: "again" } | { readonly to: "end" }

export interface State {
  readonly since: Checkpoint["since"]
  readonly pass: Pass
  readonly checkPage: PageCheck
  readonly isResumed: boolean
  /** The lists of children of this page that are still to be read. */
  readonly queue: ReadonlyArray<ChildList>
  readonly onward: Onward
}

/**
 * Returns when the listing of the resource began: the `Date` of its first page. Fails with `CheckpointExpired` if that
 * is before `since`, the time from which changes are listed: then the server's clock was ahead at the last poll and has
 * been corrected, and changes made meanwhile would never be listed.
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

/** Returns the checkpoint before the first list of children in the queue, or before the page if the queue is empty. */
export const checkpointAt = ({ pass, queue: [child], since }: Pick<State, "pass" | "queue" | "since">): Checkpoint => ({
  since,
  pass: child === undefined ? pass : { ...pass, child: childCheckpoint(child) }
})

/** Returns the checkpoint after this page and its children. */
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

/**
 * Returns the coverage of a resource that was listed to its end. Empty if pages were unchanged: their items were not
 * seen.
 */
export const coveredBy = ({ absentIsDeleted, children }: RestResource, pass: Pass): ReadonlyArray<Coverage> => {
  const isWhole = (name: string) => !pass.broken.includes(name) && !pass.counted.includes(name)
  if (!absentIsDeleted || !isWhole(pass.resource) || pass.pages === "unchanged") return []
  const whole = Object.entries(children).filter(([name, child]) => child.absentIsDeleted && isWhole(name))
  return [pass.resource, ...whole.map(([name]) => name)].map((name) => ({ prefix: `${name}/` }))
}

/** Returns true for a list of children whose absent items count as deleted while those of its resource do not. */
export const isCoveredAlone = (resource: RestResource, list: RestList): boolean =>
  list.absentIsDeleted && !resource.absentIsDeleted

/** Adds names to the pass's `broken` and `counted`. */
export const withNames = (
  pass: Pass,
  { broken = [], counted = [] }: Partial<Pick<Pass, "broken" | "counted">>
): Pass => ({
  ...pass,
  broken: [...new Set([...pass.broken, ...broken])],
  counted: [...new Set([...pass.counted, ...counted])]
})

/**
 * Returns the lists of a page's queue that are left after the listing was interrupted at `child`. `isShifted` is true
 * if the number of lists before `child` has changed.
 */
export const resumed = (queue: ReadonlyArray<ChildList>, child: Pass["child"]) => {
  const from = queue.findIndex(({ name, parent }) => name === child?.name && parent === child.parent)
  if (child === undefined || from === -1) return { left: queue, isShifted: false }
  const { index, isWhole, next } = child
  const left = queue.slice(from).map((one, at) => (at === 0 ? { ...one, next, isWhole } : one))
  return { left, isShifted: from !== index }
}
