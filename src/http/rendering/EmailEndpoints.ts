/** The endpoints of a stored email, or a Markdown file, rendered for people. */
import * as Effect from "effect/Effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ExternalId } from "../../contract/Content.ts"
import { NotFoundProblem, PreconditionFailedProblem, RangeProblem, UsageProblem } from "../Problems.ts"
import { connectionRef } from "../Parameters.ts"
import { Authenticated } from "../security/Authenticated.ts"

/** The fields and parts of an email, as plain text; null for absent fields. */
export const EmailParts = Schema.Struct({
  subject: Schema.NullOr(Schema.String),
  from: Schema.NullOr(Schema.String),
  to: Schema.NullOr(Schema.String),
  cc: Schema.NullOr(Schema.String),
  date: Schema.NullOr(Schema.String),
  /** True if there is HTML that can be shown, and true if there is plain text. */
  html: Schema.Boolean,
  text: Schema.Boolean,
  /** The number of external pictures and styles that were removed from the HTML. */
  blocked: Schema.Int,
  /** The targets of the HTML's links, http, https and mailto only, at most 200. */
  links: Schema.Array(Schema.Struct({ text: Schema.String, url: Schema.String })),
  /** Attachments, except pictures that the HTML shows. */
  attachments: Schema.Array(
    Schema.Struct({
      /** The number by which to request it. */
      part: Schema.String,
      name: Schema.String,
      mediaType: Schema.String,
      size: Schema.Int
    })
  )
})
export type EmailParts = typeof EmailParts.Type

const errors = [NotFoundProblem, UsageProblem] as const

export const emails = HttpApiGroup.make("emails")
  .add(
    HttpApiEndpoint.get("render", "/connections/:connection/content/email", {
      params: connectionRef,
      query: {
        externalId: ExternalId,
        as: Schema.Literals(["html", "text"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("html")))
      },
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html; charset=utf-8" })),
      error: errors
    }).annotate(
      OpenApi.Summary,
      "One email, as HTML or text, as a static page for a sandboxed frame: it runs nothing and loads nothing"
    ),
    HttpApiEndpoint.get("parts", "/connections/:connection/content/email/parts", {
      params: connectionRef,
      query: { externalId: ExternalId },
      success: EmailParts,
      error: errors
    }).annotate(OpenApi.Summary, "The headers, links and attachments of one email"),
    HttpApiEndpoint.get("markdown", "/connections/:connection/content/markdown", {
      params: connectionRef,
      query: { externalId: ExternalId },
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html; charset=utf-8" })),
      error: errors
    }).annotate(OpenApi.Summary, "One Markdown file, as a static page for a sandboxed frame"),
    HttpApiEndpoint.get("part", "/connections/:connection/content/email/part", {
      params: connectionRef,
      query: { externalId: ExternalId, part: Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,5}$/))) },
      success: HttpApiSchema.StreamUint8Array(),
      error: [...errors, PreconditionFailedProblem, RangeProblem]
    }).annotate(OpenApi.Summary, "The bytes of one attachment, as a download")
  )
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Emails")
  .annotate(OpenApi.Description, "Stored emails and Markdown files, as a person reads them")
