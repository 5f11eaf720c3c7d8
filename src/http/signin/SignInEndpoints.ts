/** The endpoints of a sign-in at a provider: a page sends the person there, and the provider redirects back. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { UsageProblem } from "../Problems.ts"
import { Every, Name } from "../Parameters.ts"
import { Authenticated } from "../security/Authenticated.ts"

const Text = Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 1000)))

export const signIn = HttpApiGroup.make("signIn")
  .add(
    HttpApiEndpoint.post("begin", "/sign-in", {
      payload: Schema.Struct({
        domain: Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 100))),
        name: Name,
        config: Schema.optionalKey(Schema.Json),
        every: Schema.optionalKey(Every),
        /**
         * Default: the client of the settings (at the provider's own address only), or the client of the last sign-in.
         */
        clientId: Schema.optionalKey(Text),
        clientSecret: Schema.optionalKey(Schema.RedactedFromValue(Text))
      }),
      success: Schema.Struct({
        /** The URL at which the person signs in, with this browser, within 10 minutes. */
        url: Schema.String
      }),
      error: UsageProblem
    })
      .middleware(Authenticated)
      .annotate(
        OpenApi.Summary,
        "Start a sign-in at a provider, for a new or an existing connection. Sets a cookie that the callback needs"
      ),
    HttpApiEndpoint.get("end", "/sign-in/callback", { success: HttpApiSchema.Empty(302) }).annotate(
      OpenApi.Summary,
      "The provider redirects the browser here after a sign-in. Connects the account, and redirects to the dashboard"
    )
  )
  .annotate(OpenApi.Title, "Sign-in")
  .annotate(OpenApi.Description, "Connecting an account by signing in at its provider")
