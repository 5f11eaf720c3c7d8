/** A place outside the database for its blobs: a folder or a bucket. */
import type * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Option from "effect/Option"
import type * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../engine/store/StoreError.ts"
import type { BlobStore } from "../Blobs.ts"

/** Its *mark* is the id of the database to which it belongs. */
export interface Place {
  /** The setting and its value, for messages. */
  readonly name: string
  /** Why a place without a mark may be the wrong one. */
  readonly hint: string
  /** None in a place that was never used. */
  readonly readMark: Effect.Effect<Option.Option<string>, StoreError>
  /** Writes the mark, unless there is one. */
  readonly makeMark: (id: string) => Effect.Effect<void, StoreError>
  readonly replaceMark: (id: string) => Effect.Effect<void, StoreError>
  readonly removeMark: Effect.Effect<void, StoreError>
  readonly blobs: Effect.Effect<BlobStore["Service"], StoreError, FileSystem.FileSystem | Path.Path | Scope.Scope>
}
