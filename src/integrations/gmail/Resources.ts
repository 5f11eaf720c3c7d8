/**
 * Gmail's resources, as its API returns them (https://developers.google.com/workspace/gmail/api/reference/rest). Fields
 * that Idem does not use are left out.
 */
import * as Schema from "effect/Schema"

/** Decimal digits, kept as text: a uint64 exceeds the precision of a number, and emulators write longer ones. */
const HistoryId = Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,30}$/)))

export const Profile = Schema.Struct({
  emailAddress: Schema.String,
  historyId: HistoryId,
  messagesTotal: Schema.optionalKey(Schema.Finite)
})

const Listed = Schema.Struct({ id: Schema.NonEmptyString })

export const MessageList = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Listed)),
  nextPageToken: Schema.optionalKey(Schema.String),
  resultSizeEstimate: Schema.optionalKey(Schema.Finite)
})

const Changed = Schema.Struct({
  id: Schema.NonEmptyString,
  labelIds: Schema.optionalKey(Schema.Array(Schema.String))
})

const WithMessage = Schema.Struct({ message: Changed })
const WithLabels = Schema.Struct({ message: Changed, labelIds: Schema.optionalKey(Schema.Array(Schema.String)) })

/** A record of a mailbox's history. Several messages may have changed in it. */
export const HistoryRecord = Schema.Struct({
  id: HistoryId,
  messagesAdded: Schema.optionalKey(Schema.Array(WithMessage)),
  messagesDeleted: Schema.optionalKey(Schema.Array(WithMessage)),
  labelsAdded: Schema.optionalKey(Schema.Array(WithLabels)),
  labelsRemoved: Schema.optionalKey(Schema.Array(WithLabels))
})
export type HistoryRecord = typeof HistoryRecord.Type

export const HistoryList = Schema.Struct({
  history: Schema.optionalKey(Schema.Array(HistoryRecord)),
  historyId: HistoryId,
  nextPageToken: Schema.optionalKey(Schema.String)
})

/** A message. `raw` has its bytes if the request had `format=raw`. */
export const Message = Schema.Struct({
  id: Schema.NonEmptyString,
  threadId: Schema.optionalKey(Schema.String),
  labelIds: Schema.optionalKey(Schema.Array(Schema.String)),
  snippet: Schema.optionalKey(Schema.String),
  historyId: Schema.optionalKey(HistoryId),
  internalDate: Schema.optionalKey(Schema.String),
  sizeEstimate: Schema.optionalKey(Schema.Finite),
  raw: Schema.optionalKey(Schema.String)
})
export type Message = typeof Message.Type

/** A message with its parts instead of its bytes. */
export const FullMessage = Schema.Struct({ ...Message.fields, payload: Schema.Record(Schema.String, Schema.Json) })
export type FullMessage = typeof FullMessage.Type

export const Label = Schema.Struct({ messagesTotal: Schema.optionalKey(Schema.Finite) })

export const LabelList = Schema.Struct({
  labels: Schema.optionalKey(Schema.Array(Schema.Struct({ id: Schema.String })))
})

export const UserInfo = Schema.Struct({ email: Schema.NonEmptyString })
