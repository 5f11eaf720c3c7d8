/** Compares the changes that a consumer received, in order, with the changes that the writers committed. */
import * as Schema from "effect/Schema"
import { ChangeKind } from "../../src/engine/model/Change.ts"
import type { Ledger } from "./Writers.ts"

/** A line of a consumer's log. */
export const Line = Schema.Struct({
  connection: Schema.String,
  externalId: Schema.String,
  version: Schema.Int,
  change: ChangeKind,
  /**
   * The number of the consumer's start in which it received the change: after a kill, some changes are delivered again.
   */
  start: Schema.Int
})
export type Line = typeof Line.Type

export interface Verdict {
  readonly committed: number
  readonly told: number
  /** The number of changes that were delivered again after a kill. */
  readonly repeated: number
  /** The number of changes that a later change of the same content replaced before the consumer read them. */
  readonly superseded: number
  readonly problems: ReadonlyArray<string>
}

/**
 * Checks that each change was delivered, or a later change of the same content. No start received an older version
 * after a newer one, and the last delivered change of each content is its final state.
 */
export const judge = (ledgers: ReadonlyArray<Ledger>, lines: ReadonlyArray<Line>): Verdict => {
  const problems: Array<string> = []
  const told = new Map<string, Array<Line>>()
  const keyOf = (connection: string, externalId: string) => `${connection} ${externalId}`
  for (const line of lines) {
    const key = keyOf(line.connection, line.externalId)
    const of = told.get(key)
    if (of === undefined) told.set(key, [line])
    else of.push(line)
  }
  let committed = 0
  let superseded = 0
  let repeated = 0
  for (const { connectionId, contents } of ledgers) {
    for (const [externalId, versions] of contents) {
      committed += versions.length
      const of = told.get(keyOf(connectionId, externalId)) ?? []
      const last = versions.at(-1)
      const end = of.at(-1)
      if (last === undefined || end === undefined) {
        problems.push(`${externalId} was never told`)
        continue
      }
      if (end.version !== last.version || (end.change === "deleted") !== last.isDeleted) {
        problems.push(`${externalId} ended as ${JSON.stringify(last)}, and was last told as ${JSON.stringify(end)}`)
      }
      const states = new Set(of.map((line) => `${line.version} ${line.change === "deleted"}`))
      const expected = new Set(versions.map((one) => `${one.version} ${one.isDeleted}`))
      for (const state of states) if (!expected.has(state)) problems.push(`${externalId} was told as ${state}`)
      superseded += [...expected].filter((state) => !states.has(state)).length
      repeated += of.length - states.size
      for (const [at, line] of of.entries()) {
        const before = of[at - 1]
        if (before !== undefined && before.start === line.start && before.version > line.version) {
          problems.push(`${externalId} was told as ${line.version} after ${before.version}`)
        }
      }
    }
  }
  const known = new Set(
    ledgers.flatMap(({ connectionId, contents }) => [...contents.keys()].map((id) => keyOf(connectionId, id)))
  )
  for (const key of told.keys()) if (!known.has(key)) problems.push(`${key} was told, and never committed`)
  return { committed, told: lines.length, repeated, superseded, problems }
}
