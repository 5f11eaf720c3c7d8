/** The credentials that Gmail accepts: an OAuth client's grant, a service account's key, or an access token. */
import * as Schema from "effect/Schema"
import { field } from "../../contract/Field.ts"

const Secret = Schema.Redacted(Schema.String.pipe(Schema.check(Schema.isNonEmpty())))

/** The last access token, and its expiry as Google reported it. */
const lastToken = {
  accessToken: field(Schema.optionalKey(Secret), {
    title: "Last access token",
    description: "Idem keeps it here.",
    isInternal: true
  }),
  expiresAt: field(Schema.optionalKey(Schema.DateTimeUtcFromString), {
    title: "End of the last access token",
    description: "Idem keeps it here.",
    isInternal: true
  })
}

/** An access token that another program refreshes. */
const Token = Schema.Struct({
  accessToken: field(Secret, {
    title: "Access token",
    description: "Begins with ya29. It lasts an hour; after that, give a new one.",
    example: "ya29.…"
  })
}).annotate({ title: "An access token" })

/** A grant: its refresh token yields access tokens. */
const Grant = Schema.Struct({
  clientId: field(Schema.NonEmptyString, {
    title: "Client ID",
    description: "Of your OAuth client in the Google Cloud console.",
    example: "1234567890-abc.apps.googleusercontent.com"
  }),
  clientSecret: field(Secret, { title: "Client secret", description: "Of the same client.", example: "GOCSPX-…" }),
  refreshToken: field(Secret, {
    title: "Refresh token",
    description: "From a sign-in with this client. Without a token, sign in.",
    example: "1//…"
  }),
  ...lastToken
}).annotate({ title: "An OAuth client and its refresh token" })
export type Grant = typeof Grant.Type

/** A key of a service account, in the form of Google's file (https://cloud.google.com/iam/docs/keys-create-delete). */
const Key = Schema.Struct({
  type: Schema.Literal("service_account"),
  project_id: Schema.NonEmptyString,
  private_key: Secret,
  private_key_id: Schema.optionalKey(Schema.String),
  client_email: Schema.NonEmptyString,
  client_id: Schema.optionalKey(Schema.String),
  token_uri: Schema.optionalKey(Schema.String),
  auth_uri: Schema.optionalKey(Schema.String),
  auth_provider_x509_cert_url: Schema.optionalKey(Schema.String),
  client_x509_cert_url: Schema.optionalKey(Schema.String),
  universe_domain: Schema.optionalKey(Schema.String)
})

/** A service account that acts for one user, `subject`, by domain-wide delegation. */
const serviceAccountFields = {
  serviceAccount: field(Key, {
    title: "Key of the service account",
    description: "The JSON of the key file as Google made it.",
    example: { type: "service_account", project_id: "…", private_key: "…", client_email: "…" }
  }),
  subject: field(Schema.NonEmptyString, {
    title: "User",
    description: "The address of the user whose mail is mirrored, by domain-wide delegation.",
    example: "somebody@example.com"
  })
}
export const ServiceAccount = Schema.Struct({ ...serviceAccountFields, ...lastToken }).annotate({
  title: "A service account of a Google Workspace"
})
export type ServiceAccount = typeof ServiceAccount.Type

export const Credentials = Schema.Union([Grant, ServiceAccount, Token])
export type Credentials = typeof Credentials.Type

/** Returns the key of a client's budget: all accounts of a project share its units. */
export const clientOf = (credentials: Credentials): string | undefined => {
  if ("serviceAccount" in credentials) return `project ${credentials.serviceAccount.project_id}`
  return "clientId" in credentials ? `client ${credentials.clientId}` : undefined
}
