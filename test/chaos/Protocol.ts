/**
 * The protocol between the harness and its lean processes: a line of JSON for each message, by the process's stdin and
 * stdout.
 */
import * as Schema from "effect/Schema"
import { ConnectionId } from "../../src/engine/model/Connection.ts"

/** Faults that are built in on purpose, so that the harness is seen to find them. */
export const Broken = Schema.Literals(["fence", "transaction", "key"])
export type Broken = typeof Broken.Type

/** Where the seed's database is, and how to work with it. */
const Start = Schema.TaggedStruct("Start", {
  socket: Schema.String,
  username: Schema.String,
  password: Schema.String,
  database: Schema.String,
  /** The seed's own folder. While a file `full` is in it, the disk of large bodies is full. */
  folder: Schema.String,
  /** True if large bodies go into the folder `blobs` below it (`IDEM_BLOB_DIR`), and not into the database. */
  inFolder: Schema.Boolean,
  /** True if the process answers HTTP too, and delivers webhooks. */
  serves: Schema.Boolean,
  broken: Schema.NullOr(Broken),
  leaseMillis: Schema.Finite
})
export type Start = typeof Start.Type

/** Runs a task of the connection of this name until it is done. */
const Sync = Schema.TaggedStruct("Sync", {
  name: Schema.String,
  force: Schema.Boolean,
  forceIds: Schema.Array(Schema.String)
})

/**
 * A hint that something changed at the source of this connection: in these parts, or anywhere. `isListening`: a stream
 * of hints says from now on that it listens, or that it is broken.
 */
const Hint = Schema.TaggedStruct("Hint", {
  connectionId: ConnectionId,
  parts: Schema.Array(Schema.String),
  isListening: Schema.NullOr(Schema.Boolean)
})

/**
 * `Start` polls what is due until `Stop`; `Stop` ends that in order, as SIGTERM does. `Later` puts the process's clock
 * forward by so many hours.
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
  /** The process answers HTTP at this port, and delivers webhooks. */
  Schema.TaggedStruct("Serving", { port: Schema.Finite }),
  Schema.TaggedStruct("Stopped", {}),
  /** The process took a hint. */
  Schema.TaggedStruct("Hinted", {}),
  Synced,
  /** A defect: whatever caused it, the seed fails. */
  Schema.TaggedStruct("Defect", { message: Schema.String })
])
export type Reply = typeof Reply.Type

export const CommandLine = Schema.fromJsonString(Command)
export const ReplyLine = Schema.fromJsonString(Reply)
