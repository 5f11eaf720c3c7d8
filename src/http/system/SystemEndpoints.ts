/** The endpoints of the process: health, sessions, integrations. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { FeedHolder } from "../../engine/model/Change.ts"
import { Authenticated } from "../security/Authenticated.ts"
import { UnauthorizedProblem, UnavailableProblem, UsageProblem } from "../Problems.ts"

/** The client's session. `tokenRequired` is false if the server is open to this machine. */
export const Session = Schema.Struct({
  authenticated: Schema.Boolean,
  tokenRequired: Schema.Boolean,
  /** The version of Idem; null, like `process`, for a client that is not authenticated. */
  version: Schema.NullOr(Schema.String),
  /** The name of the responding process, and its machine. */
  process: Schema.NullOr(Schema.String)
})
export type Session = typeof Session.Type

/** A kind of source, and how to connect it. The schemas are JSON Schema (2020-12). */
export const Integration = Schema.Struct({
  domain: Schema.String,
  /** The name by which people know the source. */
  title: Schema.String,
  /** Describes in a few words what a connection mirrors. */
  summary: Schema.NullOr(Schema.String),
  /** How to create its credentials. `{redirectUri}` in a step stands for this server's redirect URI. */
  guide: Schema.NullOr(
    Schema.Struct({
      url: Schema.String,
      steps: Schema.Array(
        Schema.Struct({ text: Schema.String, on: Schema.NullOr(Schema.Literals(["dashboard", "command line"])) })
      )
    })
  ),
  /** True if a person can sign in at the provider instead of giving credentials. */
  signIn: Schema.Boolean,
  /** The redirect URI, to which the provider sends people back after they have signed in here. */
  redirectUri: Schema.NullOr(Schema.String),
  config: Schema.JsonObject,
  credentials: Schema.JsonObject
}).annotate({ identifier: "Integration" })
export type Integration = typeof Integration.Type

export const system = HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("health", "/health", {
      success: Schema.Struct({
        status: Schema.Literal("alive"),
        /** Whether the database answered within half a second. The status does not depend on it: see `/ready`. */
        database: Schema.Literals(["reachable", "unreachable"])
      })
    }).annotate(OpenApi.Summary, "Liveness: the process is alive. Says whether it reaches its database"),
    HttpApiEndpoint.get("ready", "/ready", {
      success: Schema.Struct({
        status: Schema.Literal("ready"),
        /** The transaction that the feed waits for; null if no transaction writes. */
        feedHolder: Schema.NullOr(FeedHolder)
      }),
      error: UnavailableProblem
    }).annotate(
      OpenApi.Summary,
      "Readiness: the database answers, and this process may poll; 503 with the reason if not"
    ),
    HttpApiEndpoint.get("session", "/session", { success: Session }).annotate(
      OpenApi.Summary,
      "Whether this server needs a token, and whether this request has it"
    ),
    HttpApiEndpoint.post("signIn", "/session", {
      payload: Schema.Struct({ token: Schema.RedactedFromValue(Schema.String) }),
      success: Session,
      error: UnauthorizedProblem
    }).annotate(OpenApi.Summary, "Start a browser session: sets a cookie for 7 days"),
    HttpApiEndpoint.delete("signOut", "/session", { success: HttpApiSchema.NoContent }).annotate(
      OpenApi.Summary,
      "Sign out: the session ends in every process, and its cookie is deleted"
    ),
    HttpApiEndpoint.get("integrations", "/integrations", {
      success: Schema.Struct({ integrations: Schema.Array(Integration) }),
      error: UsageProblem
    })
      .middleware(Authenticated)
      .annotate(OpenApi.Summary, "List the integrations, with the schemas of their config and credentials")
  )
  .annotate(OpenApi.Title, "System")
  .annotate(OpenApi.Description, "The process itself")
