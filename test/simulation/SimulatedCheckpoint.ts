/** The checkpoint of the simulated integration: its place in the log of changes, and in the passes over the source. */
import * as Schema from "effect/Schema"

export interface Pass {
  readonly name: string
  /** The place in the log where it began. */
  readonly from: number
  /** The place in its order up to which it has listed. */
  readonly after: string
  /** The folder of a pass over one part. */
  readonly folder: string | null
}

/** `format` is checked against the source's: the checkpoint of another format can't be read. */
export interface Checkpoint {
  readonly format: number
  /** The scope under which it was made. */
  readonly folders: ReadonlyArray<string>
  /** Changes before this position of the log were listed. */
  readonly position: number
  readonly pass: Pass | null
  /** The passes that came to their end, latest last: one, or one of each part in this round. */
  readonly done: ReadonlyArray<Pass>
  /** False once a poll of parts is through: the next begins a new round. */
  readonly underWay: boolean
  readonly round: Round
}

/** A round over the parts that a poll lists: all of them, or those that were hinted. */
export interface Round {
  /** The parts that come after the one of the present pass. */
  readonly left: ReadonlyArray<string>
  readonly isWhole: boolean
  /** Rounds in a row that left out what was not hinted, since a stream of hints was listening. */
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
