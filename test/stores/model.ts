/** A model of a sequence of commits, without a database, with which the store's laws compare a store. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Batch } from "../../src/engine/model/Batch.ts"
import type { ContentState } from "../../src/engine/model/Content.ts"
import { item, ledgerUpdate, page } from "./scenario.ts"

export const ids = ["a", "b", "c"] as const

const Id = Schema.Literals(ids)
const Revision = Schema.Literals(["r1", "r2"])

/** A commit with one change, or the settling of deletions. */
export const Step = Schema.Union([
  Schema.TaggedStruct("store", {
    id: Id,
    text: Schema.Literals(["x", "y"]),
    n: Schema.Literals([1, 2]),
    revision: Revision
  }),
  Schema.TaggedStruct("fail", { id: Id, revision: Revision, dead: Schema.Boolean }),
  Schema.TaggedStruct("defer", { id: Id, revision: Revision }),
  Schema.TaggedStruct("gone", { id: Id }),
  Schema.TaggedStruct("delete", { id: Id }),
  Schema.TaggedStruct("patch", { id: Id, n: Schema.Literals([1, 2]) }),
  Schema.TaggedStruct("settle", {})
])
export type Step = typeof Step.Type

/** Sequences of 8 to 30 steps: shorter sequences rarely reach a state that a single step does not. */
export const sequence = <S extends Schema.Constraint>(step: S) =>
  Schema.Array(step).check(Schema.isMinLength(8), Schema.isMaxLength(30))

interface Row {
  state: ContentState
  pending: "failed" | "dead" | "deferred" | null
  revision: string
  tried: string
  text: string
  metadata: { readonly n: number }
  staged: boolean
  wasStored: boolean
}

type Model = Map<string, Row>

export const empty = (): Model => new Map()

export const batchOf = (step: Exclude<Step, { _tag: "settle" }>): Partial<Batch> => {
  switch (step._tag) {
    case "store":
      return { items: [item(step.id, { text: step.text, metadata: { n: step.n }, revision: step.revision })] }
    case "fail":
      return {
        ledgerUpdates: [
          ledgerUpdate(step.id, { revision: step.revision, retryIn: step.dead ? undefined : Duration.minutes(1) })
        ]
      }
    case "defer":
      return {
        ledgerUpdates: [ledgerUpdate(step.id, { revision: step.revision, outcome: "deferred", retryIn: undefined })]
      }
    case "gone":
      return { ledgerUpdates: [ledgerUpdate(step.id, { outcome: "gone", retryIn: undefined })] }
    case "delete":
      return { page: page({ deleted: [step.id] }) }
    case "patch":
      return { page: page({ patches: [{ externalId: step.id, metadata: { n: step.n } }] }) }
  }
}

const blank = (): Row => ({
  state: "gone",
  pending: null,
  revision: "",
  tried: "",
  text: "",
  metadata: { n: 0 },
  staged: false,
  wasStored: false
})

/**
 * Applies a step, and returns the result that a store must return: an outcome, or the number of patched or deleted
 * rows.
 */
export const apply = (model: Model, step: Step): string | number => {
  if (step._tag === "settle") {
    const staged = [...model.values()].filter((row) => row.staged && row.state === "stored")
    for (const row of staged) Object.assign(row, { state: "deleted", pending: null, staged: false })
    return staged.length
  }
  const known = model.get(step.id)
  const row = known ?? blank()
  switch (step._tag) {
    case "store": {
      const same = row.state === "stored" && row.text === step.text && row.metadata.n === step.n
      const outcome = same ? "unchanged" : row.state === "stored" ? "updated" : "stored"
      model.set(step.id, {
        state: "stored",
        pending: null,
        revision: step.revision,
        tried: "",
        text: step.text,
        metadata: { n: step.n },
        staged: false,
        wasStored: true
      })
      return outcome
    }
    case "fail":
    case "defer": {
      const pending = step._tag === "defer" ? "deferred" : step.dead ? "dead" : "failed"
      model.set(step.id, {
        ...row,
        pending,
        tried: step.revision,
        state: row.state === "stored" ? "stored" : pending
      })
      return 0
    }
    case "gone":
    case "delete": {
      if (step._tag === "gone") model.set(step.id, row)
      else if (known === undefined) return 0
      if (row.state === "stored") row.staged = true
      else if (row.pending !== null) row.state = row.wasStored ? "deleted" : "gone"
      row.pending = null
      return 0
    }
    case "patch": {
      if (row.state !== "stored" || row.metadata.n === step.n) return 0
      row.metadata = { n: step.n }
      return 1
    }
  }
}

const isKnown = (row: Row): boolean => row.state !== "gone" && row.state !== "deleted"

export const existing = (model: Model): ReadonlySet<string> =>
  new Set([...model].filter(([, row]) => isKnown(row)).map(([id]) => id))

export const revisions = (model: Model): ReadonlyMap<string, Option.Option<string>> =>
  new Map(
    [...model]
      .filter(([, row]) => isKnown(row))
      .map(([id, row]) => [id, Option.some(row.pending === null ? row.revision : row.tried)])
  )

export const listed = (model: Model, state: ContentState): ReadonlyArray<string> =>
  [...model]
    .filter(([, row]) => row.state === state || row.pending === state)
    .map(([id]) => id)
    .toSorted()
