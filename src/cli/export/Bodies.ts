/** Reads the bodies of an export, of which a purge may remove some meanwhile. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Connection } from "../../http/connections/ConnectionDocuments.ts"
import type * as Documents from "../../http/contents/ContentDocuments.ts"
import { type ApiClient, body, BodyError } from "../../http/client/ApiClient.ts"
import { failed } from "../CommandFailure.ts"
import * as TextFormat from "../TextFormat.ts"

export type ReadError =
  | Effect.Error<ReturnType<ApiClient["Service"]["contents"]["listInFull"]>>
  | Effect.Error<ReturnType<ApiClient["Service"]["contents"]["get"]>>
  | Effect.Error<ReturnType<typeof body>>
  | BodyError

export interface Body {
  readonly hash: string | null
  readonly size: number
  readonly bytes: Stream.Stream<Uint8Array, BodyError>
}

/**
 * Returns the body, or `Option.none` if the content is no longer stored: it was deleted and purged since its row was
 * read.
 */
export const bodyOf = (
  connection: Connection,
  row: Documents.Content
): Effect.Effect<Option.Option<Body>, ReadError, ApiClient> =>
  row.hash === null
    ? Effect.succeedSome({ hash: null, size: row.size, bytes: Stream.empty })
    : body(connection.id, row.externalId).pipe(
        Effect.asSome,
        Effect.catchTag("NotFoundProblem", () => Effect.succeedNone)
      )

/** Returns `Option.none` if the body failed while it was read because the content was purged meanwhile. */
export const unlessPurged =
  (connection: Connection, row: Documents.Content) =>
  <A, E, R>(writing: Effect.Effect<A, E | BodyError, R>) =>
    writing.pipe(
      Effect.asSome,
      Effect.catchIf(
        (error): error is BodyError => error instanceof BodyError,
        (error) =>
          Effect.flatMap(bodyOf(connection, row), (found) =>
            Option.isNone(found) ? Effect.succeedNone : Effect.fail(error)
          )
      )
    )

/** If a body was purged after a part of it was written, fails with an error that says what to do. */
export const unlessCut =
  (connection: Connection, row: Documents.Content) =>
  <A, R>(bytes: Stream.Stream<A, ReadError, R>) =>
    Stream.catch(bytes, (error) =>
      Effect.fail(error).pipe(
        unlessPurged(connection, row),
        Effect.andThen(
          failed("Export", `${TextFormat.quoted(row.externalId)} was purged while it was read: export again`)
        ),
        Stream.fromEffect
      )
    )
