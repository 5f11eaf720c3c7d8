/** The endpoints of connections: creating and changing them, and decisions of a person. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ExternalId } from "../../contract/Content.ts"
import {
  ConflictProblem,
  NameTakenProblem,
  NotFoundProblem,
  SourceAwayProblem,
  SourceRefusedProblem,
  UsageProblem
} from "../Problems.ts"
import { connectionRef, Every, Instant, limit, Name, NoSecrets } from "../Parameters.ts"
import { Authenticated } from "../security/Authenticated.ts"
import { Task } from "../tasks/TaskDocuments.ts"
import * as Documents from "./ConnectionDocuments.ts"

/** A created or changed connection, with the source's estimate. */
export const Connected = Schema.Struct({
  connection: Documents.Connection,
  created: Schema.Boolean,
  /** The approximate number of items; null if the source can't count them cheaply. */
  items: Schema.NullOr(Schema.Finite),
  /** Quota units that one item costs, its share of the listing included. */
  unitsPerItem: Schema.Finite,
  /** Content that the config leaves out and a person may miss, and how to include it. */
  leftOut: Schema.Array(Schema.String),
  /** How long a first sync takes at the quota; null if the number of items is not known. */
  firstSyncMs: Schema.NullOr(Schema.Finite),
  /** How long it takes at the source's limit of bytes a day; null if the source has no such limit. */
  firstSyncByBytesMs: Schema.NullOr(Schema.Finite)
})
export type Connected = typeof Connected.Type

/** The result of a purge. `bodies` and `bytes` count removed bodies, which no other content refers to. */
const Purged = Schema.Struct({
  deleted: Schema.Int,
  gone: Schema.Int,
  bodies: Schema.Int,
  bytes: Schema.Int
})

const connectErrors = [
  NotFoundProblem,
  NameTakenProblem,
  UsageProblem,
  SourceRefusedProblem,
  SourceAwayProblem
] as const

export const connections = HttpApiGroup.make("connections")
  .add(
    HttpApiEndpoint.get("list", "/connections", {
      success: Schema.Struct({ connections: Schema.Array(Documents.Connection) })
    }).annotate(OpenApi.Summary, "All connections, by name"),
    HttpApiEndpoint.post("create", "/connections", {
      payload: Schema.Struct({
        domain: Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 100))),
        name: Name,
        config: Schema.optionalKey(Schema.Json),
        credentials: Schema.optionalKey(Schema.RedactedFromValue(Schema.Json)),
        every: Schema.optionalKey(Every)
      }),
      success: Connected.pipe(HttpApiSchema.status(201)),
      error: connectErrors
    }).annotate(OpenApi.Summary, "Connect an account: reaches the source once, then stores the connection"),
    HttpApiEndpoint.get("get", "/connections/:connection", {
      params: connectionRef,
      success: Documents.Status,
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "One connection, with what is stored and its last run"),
    HttpApiEndpoint.patch("change", "/connections/:connection", {
      params: connectionRef,
      payload: Schema.Struct({
        config: Schema.optionalKey(Schema.Json),
        credentials: Schema.optionalKey(Schema.RedactedFromValue(Schema.Json)),
        signedIn: Schema.optionalKey(Schema.Boolean).annotate({
          description:
            "true where the credentials are those of a sign-in: then what a sign-in does not give (Slack's app-level token) stays"
        }),
        every: Schema.optionalKey(Every)
      }),
      success: Connected,
      error: connectErrors
    }).annotate(
      OpenApi.Summary,
      "Change a connection: what is not given stays as it is. Another address (a rootUrl, a host) needs credentials with it"
    ),
    HttpApiEndpoint.delete("remove", "/connections/:connection", {
      params: connectionRef,
      query: { deleteContents: Schema.optionalKey(Schema.Boolean) },
      success: Schema.Struct({ contents: Schema.Int }),
      error: [NotFoundProblem, ConflictProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(
        OpenApi.Summary,
        "Forget the credentials and stop, with all connections that this one made; what is stored stays, unless deleteContents is true. Says how many contents there were"
      ),
    HttpApiEndpoint.post("pause", "/connections/:connection/pause", {
      params: connectionRef,
      success: Documents.Connection,
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Stop polling"),
    HttpApiEndpoint.post("resume", "/connections/:connection/resume", {
      params: connectionRef,
      success: Documents.Connection,
      error: [NotFoundProblem, ConflictProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Poll again, at once"),
    HttpApiEndpoint.get("deletions", "/connections/:connection/deletions", {
      params: connectionRef,
      query: { limit: limit(10_000, 100) },
      success: Documents.HeldDeletions,
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Deletions that are held back for a person"),
    HttpApiEndpoint.post("approveDeletions", "/connections/:connection/deletions/approve", {
      params: connectionRef,
      payload: Documents.Approval,
      success: Schema.Struct({ deleted: Schema.Int }),
      error: [NotFoundProblem, ConflictProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Apply the deletions that are held back, all that were listed or some"),
    HttpApiEndpoint.get("ledger", "/connections/:connection/ledger", {
      params: connectionRef,
      query: { limit: limit(10_000, 100) },
      success: Schema.Struct({ ledger: Schema.Array(Documents.LedgerRow) }),
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "What is known but not stored: failed, dead, deferred"),
    HttpApiEndpoint.post("redrive", "/connections/:connection/ledger/redrive", {
      params: connectionRef,
      // Without a body: all rows.
      payload: [Schema.Struct({ externalIds: Schema.optionalKey(Schema.Array(ExternalId)) }), Schema.Null],
      success: Task.pipe(HttpApiSchema.status(202)),
      error: [NotFoundProblem, ConflictProblem, UsageProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Try these rows of the ledger again, or all of them: a task"),
    HttpApiEndpoint.post("purge", "/connections/:connection/purge", {
      params: connectionRef,
      payload: Schema.Struct({ before: Instant }),
      success: Purged,
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Take away for good what content that was deleted before a time still holds")
  )
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Connections")
  .annotate(OpenApi.Description, "One account each, and what of it needs a person")
