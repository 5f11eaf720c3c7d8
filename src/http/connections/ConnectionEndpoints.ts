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
    }).annotate(OpenApi.Summary, "List all connections by name"),
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
      .annotate(OpenApi.Summary, "One connection, with its state, its totals and its last run"),
    HttpApiEndpoint.patch("change", "/connections/:connection", {
      params: connectionRef,
      payload: Schema.Struct({
        config: Schema.optionalKey(Schema.Json),
        credentials: Schema.optionalKey(Schema.RedactedFromValue(Schema.Json)),
        signedIn: Schema.optionalKey(Schema.Boolean).annotate({
          description:
            "true if a sign-in gave the credentials: keeps what it does not give, like Slack's app-level token"
        }),
        every: Schema.optionalKey(Every)
      }),
      success: Connected,
      error: connectErrors
    }).annotate(
      OpenApi.Summary,
      "Change the given fields of a connection. A new address (a rootUrl, a host) needs credentials with it"
    ),
    HttpApiEndpoint.delete("remove", "/connections/:connection", {
      params: connectionRef,
      query: {
        deleteContents: Schema.optionalKey(Schema.Boolean).annotate({
          description: "true deletes what is stored, and the connection itself; otherwise both stay"
        })
      },
      success: Schema.Struct({ contents: Schema.Int }),
      error: [NotFoundProblem, ConflictProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(
        OpenApi.Summary,
        "Forget the credentials and stop, also of the connections that this one made. Returns the number of contents"
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
      .annotate(OpenApi.Summary, "Resume polling, at once"),
    HttpApiEndpoint.get("deletions", "/connections/:connection/deletions", {
      params: connectionRef,
      query: { limit: limit(10_000, 100) },
      success: Documents.HeldDeletions,
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "List the deletions that wait for a person to approve them"),
    HttpApiEndpoint.post("approveDeletions", "/connections/:connection/deletions/approve", {
      params: connectionRef,
      payload: Documents.Approval,
      success: Schema.Struct({ deleted: Schema.Int }),
      error: [NotFoundProblem, ConflictProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Approve held deletions: all that were listed, or some"),
    HttpApiEndpoint.get("ledger", "/connections/:connection/ledger", {
      params: connectionRef,
      query: { limit: limit(10_000, 100) },
      success: Schema.Struct({ ledger: Schema.Array(Documents.LedgerRow) }),
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "List the ledger: failed, dead and deferred items"),
    HttpApiEndpoint.post("redrive", "/connections/:connection/ledger/redrive", {
      params: connectionRef,
      // Without a body: all rows.
      payload: [Schema.Struct({ externalIds: Schema.optionalKey(Schema.Array(ExternalId)) }), Schema.Null],
      success: Task.pipe(HttpApiSchema.status(202)),
      error: [NotFoundProblem, ConflictProblem, UsageProblem]
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Retry some rows of the ledger, or all of them, as a task"),
    HttpApiEndpoint.post("purge", "/connections/:connection/purge", {
      params: connectionRef,
      payload: Schema.Struct({ before: Instant }),
      success: Purged,
      error: NotFoundProblem
    })
      .annotate(NoSecrets, true)
      .annotate(OpenApi.Summary, "Permanently remove the data of content that was deleted before a time")
  )
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Connections")
  .annotate(
    OpenApi.Description,
    "A connection mirrors one account. Here a person also approves deletions and retries failed items"
  )
