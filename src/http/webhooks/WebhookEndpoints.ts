/** The endpoints of webhooks and their messages. */
import * as Effect from "effect/Effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ChangeKind } from "../../engine/model/Change.ts"
import { MessageState } from "../../engine/model/Webhook.ts"
import { ConflictProblem, NotFoundProblem, UsageProblem } from "../Problems.ts"
import { connectionRef, limit, Name } from "../Parameters.ts"
import { Authenticated } from "../security/Authenticated.ts"
import * as Documents from "./WebhookDocuments.ts"

const webhookId = { webhook: Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 100))) }
export const messageId = { message: Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 100))) }

export const Url = Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 2048))).annotate({
  description: "an https URL at a public address; IDEM_WEBHOOK_ALLOW allows others"
})
const Kinds = Schema.NullOr(Schema.Array(ChangeKind)).annotate({
  description: "send only these kinds of change; null sends all"
})
const Secret = Schema.RedactedFromValue(Schema.String).annotate({
  description: "`whsec_` and 24 to 64 bytes as base64; if absent, Idem makes one"
})

/** A webhook with its secret, which is shown only here. */
const WithSecret = Schema.Struct({ ...Documents.Webhook.fields, secret: Schema.String })

export const webhooks = HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.get("list", "/webhooks", {
      success: Schema.Struct({ webhooks: Schema.Array(Documents.Webhook) })
    }).annotate(OpenApi.Summary, "All webhooks, oldest first"),
    HttpApiEndpoint.post("create", "/webhooks", {
      payload: Schema.Struct({
        url: Url,
        name: Schema.optionalKey(Name),
        connection: Schema.optionalKey(Schema.NullOr(connectionRef.connection)),
        changes: Schema.optionalKey(Kinds),
        secret: Schema.optionalKey(Secret),
        from: Schema.Literals(["now", "beginning"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("now")))
      }),
      success: WithSecret.pipe(HttpApiSchema.status(201)),
      error: [NotFoundProblem, ConflictProblem, UsageProblem]
    }).annotate(
      OpenApi.Summary,
      "Send changes to a URL, signed, from now on or from the beginning. Only this answer has the secret"
    ),
    HttpApiEndpoint.get("get", "/webhooks/:webhook", {
      params: webhookId,
      success: Documents.Webhook,
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "One webhook"),
    HttpApiEndpoint.patch("change", "/webhooks/:webhook", {
      params: webhookId,
      payload: Schema.Struct({
        url: Schema.optionalKey(Url),
        name: Schema.optionalKey(Name),
        changes: Schema.optionalKey(Kinds),
        state: Schema.optionalKey(Schema.Literals(["active", "paused"]))
      }),
      success: Documents.Webhook,
      error: [NotFoundProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Change, pause or resume a webhook. A resumed webhook continues where it stopped"),
    HttpApiEndpoint.delete("remove", "/webhooks/:webhook", {
      params: webhookId,
      success: HttpApiSchema.NoContent,
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "Remove a webhook and its messages"),
    HttpApiEndpoint.post("rotate", "/webhooks/:webhook/rotate", {
      params: webhookId,
      // Without a body: a secret is generated.
      payload: [Schema.Null, Schema.Struct({ secret: Schema.optionalKey(Secret) })],
      success: WithSecret,
      error: [NotFoundProblem, ConflictProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Make a new secret. For 24 hours the former one also signs messages"),
    HttpApiEndpoint.post("ping", "/webhooks/:webhook/ping", {
      params: webhookId,
      success: Documents.Pinged,
      error: [NotFoundProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Send a signed test message now, and return the endpoint's answer"),
    HttpApiEndpoint.get("messages", "/webhooks/:webhook/messages", {
      params: webhookId,
      query: {
        state: Schema.optionalKey(MessageState),
        limit: limit(1000, 100),
        after: Schema.optionalKey(messageId.message)
      },
      success: Schema.Struct({ messages: Schema.Array(Documents.Message), next: Schema.NullOr(Schema.String) }),
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "List a webhook's messages, newest first: pending, delivered and dead"),
    HttpApiEndpoint.post("redeliver", "/webhooks/:webhook/messages/:message/redeliver", {
      params: { ...webhookId, ...messageId },
      success: Documents.Message,
      error: [NotFoundProblem, ConflictProblem]
    }).annotate(OpenApi.Summary, "Deliver a dead message again"),
    HttpApiEndpoint.post("redeliverAll", "/webhooks/:webhook/redeliver", {
      params: webhookId,
      success: Schema.Struct({ redelivered: Schema.Int }),
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "Deliver all dead messages of a webhook again, and return how many there are")
  )
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Webhooks")
  .annotate(
    OpenApi.Description,
    "Webhooks send changes as they happen, signed as Standard Webhooks specifies (https://www.standardwebhooks.com)"
  )
