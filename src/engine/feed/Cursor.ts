/**
 * Cursors: a reader's position in a list, in characters that shells and URLs accept. A cursor is opaque, and valid only
 * for the list that returned it: it holds the database, its epoch, the kind of list, its connection, and the position.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ExternalId } from "../../contract/Content.ts"
import type { ChangePlace, Epoch } from "../model/Change.ts"
import { ConnectionId } from "../model/Connection.ts"
import type { ContentPlace } from "../model/Content.ts"

/**
 * The cursor can't be used: it belongs to another database or another connection, predates a restore, or is damaged.
 */
export class CursorInvalid extends Schema.TaggedError<CursorInvalid>()("CursorInvalid", {
  /**
   * `gone`: the cursor was valid once. The reader has to begin again without a cursor, and will get changes that it has
   * seen.
   */
  reason: Schema.Literals(["gone", "malformed", "foreign"]),
  message: Schema.String
}) {}

/** The length limit of a cursor, in characters: enough for the longest external id with every character escaped. */
const maxLength = 10_000

const Uuid = Schema.String.pipe(Schema.check(Schema.isPattern(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)))
/** A time in milliseconds, within the years that PostgreSQL supports. */
const Millis = Schema.Int.pipe(
  Schema.check(Schema.isBetween({ minimum: -62_135_596_800_000, maximum: 253_402_300_799_999 }))
)
/** A transaction id: an unsigned 64-bit integer. */
const Transaction = Schema.BigIntFromString.pipe(
  Schema.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 18_446_744_073_709_551_615n }))
)

const ContentCursor = Schema.fromJsonString(
  Schema.Tuple([
    Schema.Literals(["id", "newest"]),
    Schema.String,
    Schema.String,
    Schema.String,
    ExternalId,
    Schema.NullOr(Millis)
  ])
)
const ChangeCursor = Schema.fromJsonString(
  Schema.Tuple([
    Schema.Literal("changes"),
    Schema.String,
    Schema.String,
    Schema.NullOr(Schema.String),
    Transaction,
    Schema.NullOr(Schema.Tuple([Uuid, ExternalId])),
    Schema.optionalKey(Transaction)
  ])
)
const encodeContent = Schema.encodeSync(ContentCursor)
const encodeChange = Schema.encodeSync(ChangeCursor)
const decodeContent = Schema.decodeUnknownResult(ContentCursor)
const decodeChange = Schema.decodeUnknownResult(ChangeCursor)
const decodeKind = Schema.decodeUnknownResult(
  Schema.fromJsonString(
    Schema.TupleWithRest(Schema.Tuple([Schema.Literals(["id", "newest", "changes"])]), [Schema.Unknown])
  )
)

const malformed = new CursorInvalid({
  reason: "malformed",
  message: "this is not a valid cursor: give the `next` of the previous page, unchanged"
})
const foreign = (of: string) =>
  new CursorInvalid({
    reason: "foreign",
    message: `the cursor belongs to ${of}: give the \`next\` of this list's own page`
  })

/** The error for a cursor that was valid once, or that is ahead of this database after a restore. */
export const gone = new CursorInvalid({
  reason: "gone",
  message:
    "the database was restored, moved or given a new epoch since it gave this cursor: start again without a cursor; " +
    "changes that come twice are the same"
})

const textOf = (cursor: string): Result.Result<string, CursorInvalid> =>
  cursor.length > maxLength ? Result.fail(malformed) : Result.mapError(Base64Url.decodeString(cursor), () => malformed)

/** Returns the error for a cursor that does not decode: it is damaged, or belongs to another kind of list. */
const notOf = (text: string, other: ReadonlyArray<string>, name: string): CursorInvalid => {
  const kind = Result.map(decodeKind(text), ([kind]) => kind)
  return Result.isSuccess(kind) && other.includes(kind.success) ? foreign(name) : malformed
}

const isOf = (epoch: Epoch, databaseId: string, epochId: string): Effect.Effect<void, CursorInvalid> =>
  databaseId !== epoch.databaseId
    ? Effect.fail(foreign("another database"))
    : epochId !== epoch.id
      ? Effect.fail(gone)
      : Effect.void

/** A list of a connection's contents in one order. */
interface ContentList {
  readonly epoch: Epoch
  readonly connectionId: ConnectionId
  readonly order: "id" | "newest"
}

export const ofContent = ({ connectionId, epoch, order }: ContentList, place: ContentPlace): string => {
  const at = place.occurredAt === null || order === "id" ? null : DateTime.toEpochMillis(place.occurredAt)
  return Base64Url.encode(encodeContent([order, epoch.databaseId, epoch.id, connectionId, place.externalId, at]))
}

export const contentPlace = Effect.fnUntraced(function* (
  list: ContentList,
  cursor: string
): Effect.fn.Return<ContentPlace, CursorInvalid> {
  const text = yield* Effect.fromResult(textOf(cursor))
  const [order, databaseId, epochId, connectionId, externalId, at] = yield* Effect.fromResult(
    Result.mapError(decodeContent(text), () => notOf(text, ["changes"], "the changes"))
  )
  yield* isOf(list.epoch, databaseId, epochId)
  if (connectionId !== list.connectionId) return yield* foreign("another connection")
  if (order !== list.order) return yield* foreign("another order")
  return { externalId, occurredAt: at === null ? null : DateTime.makeUnsafe(at) }
})

/** The changes of one connection, or of all. */
type ChangeList = ConnectionId | undefined

/**
 * Encodes the cursor of a place in the changes. `since` is the reader's position when it last reached the end: it has
 * seen every change before that transaction. For a place without a row, `since` is its transaction.
 */
export const ofChange = (epoch: Epoch, list: ChangeList, { row, transaction }: ChangePlace, since?: bigint): string => {
  const ofList = ["changes", epoch.databaseId, epoch.id, list ?? null, transaction] as const
  if (row === null) return Base64Url.encode(encodeChange([...ofList, null]))
  const at = [row.connectionId, row.externalId] as const
  return Base64Url.encode(encodeChange(since === undefined ? [...ofList, at] : [...ofList, at, since]))
}

/** Moves a cursor from one epoch to another. Returns undefined for a cursor that is not of the epoch `from`. */
export const inEpoch = (cursor: string, { from, to }: { readonly from: Epoch; readonly to: Epoch }) => {
  const decoded = Result.getOrUndefined(Result.flatMap(textOf(cursor), decodeChange))
  if (decoded === undefined) return undefined
  const [kind, databaseId, epochId, ...rest] = decoded
  if (databaseId !== from.databaseId || epochId !== from.id) return undefined
  return Base64Url.encode(encodeChange([kind, to.databaseId, to.id, ...rest]))
}

/**
 * Decodes a cursor of this list of changes. Returns its position, its `since` (see `ofChange`), and a check of its
 * epoch against that of a page.
 */
export const changePlace = Effect.fnUntraced(function* (
  list: ChangeList,
  cursor: string
): Effect.fn.Return<
  {
    readonly place: ChangePlace
    readonly since: bigint
    readonly check: (epoch: Epoch) => Effect.Effect<void, CursorInvalid>
  },
  CursorInvalid
> {
  const text = yield* Effect.fromResult(textOf(cursor))
  const [, databaseId, epochId, connectionId, transaction, row, since = transaction] = yield* Effect.fromResult(
    Result.mapError(decodeChange(text), () => notOf(text, ["id", "newest"], "a list of contents"))
  )
  return {
    place: {
      transaction,
      row: row === null ? null : { connectionId: ConnectionId.make(row[0]), externalId: row[1] }
    },
    since,
    check: Effect.fnUntraced(function* (epoch) {
      yield* isOf(epoch, databaseId, epochId)
      if (connectionId !== (list ?? null)) {
        return yield* foreign(connectionId === null ? "all connections' changes" : "another connection's changes")
      }
    })
  }
})
