/**
 * The protocol between the harness and its lean processes: a line of JSON for each message, by the process's stdin and
 * stdout.
 */
import * as Schema from "effect/Schema"
import { ConnectionId } from "../../src/engine/model/Connection.ts"

/** Faults that are built in on purpose, to prove that the harness detects them. */
export const Broken = Schema.Literals(["fence", "transaction", "key", "epoch"])
export type Broken = typeof Broken.Type

/** The seed's database, and the settings of the process. */
const Start = Schema.TaggedStruct("Start", {
  socket: Schema.String,
  username: Schema.String,
  password: Schema.String,
  database: Schema.String,
  /** The seed's folder. While it contains a file `full`, the disk of large bodies is full. */
  folder: Schema.String,
  /** True if large bodies are stored in the subfolder `blobs` (`IDEM_BLOB_DIR`) instead of the database. */
  inFolder: Schema.Boolean,
  /** True if the process serves HTTP, and delivers webhooks. */
  serves: Schema.Boolean,
  broken: Schema.NullOr(Broken),
  leaseMillis: Schema.Finite
})
export type Start = typeof Start.Type

/** Runs a task of the connection of this name until the task is done. */
const Sync = Schema.TaggedStruct("Sync", {
  name: Schema.String,
  force: Schema.Boolean,
  forceIds: Schema.Array(Schema.String)
})

/**
 * A hint that the source of this connection has changed, in these parts or anywhere. `isListening` reports the state of
 * the stream of hints from now on: listening or broken.
 */
const Hint = Schema.TaggedStruct("Hint", {
  connectionId: ConnectionId,
  parts: Schema.Array(Schema.String),
  isListening: Schema.NullOr(Schema.Boolean)
})

/**
 * `Start` polls due connections until `Stop`, which ends polling in order, like SIGTERM. `Later` puts the process's
 * clock forward by hours.
 */
export const Command = Schema.Union([
  Start,
  Sync,
  Hint,
  Schema.TaggedStruct("Stop", {}),
  Schema.TaggedStruct("Later", { hours: Schema.Finite })
])
export type Command = typeof Command.Type

const Synced = Schema.TaggedStruct("Synced", {
  status: Schema.String,
  error: Schema.String,
  counts: Schema.Record(Schema.String, Schema.Finite)
})
export type Synced = typeof Synced.Type

export const Reply = Schema.Union([
  Schema.TaggedStruct("Ready", {}),
  Schema.TaggedStruct("Started", {}),
  /** The process serves HTTP at this port, and delivers webhooks. */
  Schema.TaggedStruct("Serving", { port: Schema.Finite }),
  Schema.TaggedStruct("Stopped", {}),
  /** The process accepted a hint. */
  Schema.TaggedStruct("Hinted", {}),
  Synced,
  /** A defect, which always fails the seed. */
  Schema.TaggedStruct("Defect", { message: Schema.String })
])
export type Reply = typeof Reply.Type

export const CommandLine = Schema.fromJsonString(Command)
export const ReplyLine = Schema.fromJsonString(Reply)
