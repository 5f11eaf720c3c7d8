/** The errors of the stores. `Superseded` is in `Fence`. */
import * as Schema from "effect/Schema"
import { ConnectionId } from "../model/Connection.ts"

/** The database can't be reached or refused the request: a retry may succeed. The message holds no secret. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  message: Schema.String,
  cause: Schema.Defect(),
  /** The name of the setting that is wrong, if a setting is the cause. */
  setting: Schema.optionalKey(Schema.String)
}) {}

/** A newer version of Idem has migrated the database. Retries in this process never succeed. */
export class SchemaTooNew extends Schema.TaggedError<SchemaTooNew>()("SchemaTooNew", {
  found: Schema.Int,
  supported: Schema.Int
}) {
  override get message(): string {
    return (
      `the database has schema ${this.found}, and this version of idem knows schemas up to ${this.supported}: ` +
      "a newer idem has migrated it; update this one"
    )
  }
}

/** Another connection has this name. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { name: Schema.String }) {}

/** The held deletions differ from those that were approved. Nothing was deleted. */
export class DeletionsChanged extends Schema.TaggedError<DeletionsChanged>()("DeletionsChanged", {
  connectionId: ConnectionId,
  /** An approved id that is not held; null if the set of held deletions has changed. */
  externalId: Schema.NullOr(Schema.String)
}) {}

/** The database did not start or cannot be reached, or a setting is wrong. The message says which. */
export interface StartError {
  readonly _tag: string
  readonly message: string
}
