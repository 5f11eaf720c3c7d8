/** The checkpoint of the simulated integration: its position in the log of changes, and its passes over the source. */
import * as Schema from "effect/Schema"

export interface Pass {
  readonly name: string
  /** The position in the log at which the pass began. */
  readonly from: number
  /** The key up to which the pass has listed, in its order. */
  readonly after: string
  /** The folder of a pass over one part; null for a pass over everything. */
  readonly folder: string | null
}

/** `format` is checked against the source's: the checkpoint of another format can't be read. */
export interface Checkpoint {
  readonly format: number
  /** The scope under which the checkpoint was made. */
  readonly folders: ReadonlyArray<string>
  /** Changes before this position of the log were listed. */
  readonly position: number
  readonly pass: Pass | null
  /** The completed passes, latest last: one pass, or one for each part in this round. */
  readonly done: ReadonlyArray<Pass>
  /** False once a poll has listed all its parts: the next poll begins a new round. */
  readonly underWay: boolean
  readonly round: Round
}

/** A round over the parts that a poll lists: all parts, or the hinted parts. */
export interface Round {
  /** The parts after the part of the present pass. */
  readonly left: ReadonlyArray<string>
  readonly isWhole: boolean
  /** The number of consecutive rounds that listed only hinted parts, because a stream of hints was listening. */
  readonly leftOut: number
}

export const Checkpoint: Schema.Codec<Checkpoint> = (() => {
  const Pass = Schema.Struct({
    name: Schema.String,
    from: Schema.Int,
    after: Schema.String,
    folder: Schema.NullOr(Schema.String)
  })
  return Schema.Struct({
    format: Schema.Int,
    folders: Schema.Array(Schema.String),
    position: Schema.Int,
    pass: Schema.NullOr(Pass),
    done: Schema.Array(Pass),
    underWay: Schema.Boolean,
    round: Schema.Struct({ left: Schema.Array(Schema.String), isWhole: Schema.Boolean, leftOut: Schema.Int })
  })
})()
