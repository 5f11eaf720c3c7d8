/**
 * Reads the users of a Google Workspace with the Admin SDK
 * (https://developers.google.com/workspace/admin/directory/reference/rest/v1/users). The list includes suspended and
 * archived users, but not deleted ones.
 */
import { admin } from "googleapis/build/src/apis/admin/index.js"
import * as Schema from "effect/Schema"
import type { AccessToken } from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import { Forbidden, IntegrationError } from "../../contract/IntegrationError.ts"
import type { Network } from "../../contract/Network.ts"
import * as GoogleClient from "./GoogleClient.ts"
import * as Transport from "./Transport.ts"

/** The scope that reads users, and nothing else of the directory. */
export const scope = "https://www.googleapis.com/auth/admin.directory.user.readonly"

/** The most users of one page, by the documentation of `users.list`. */
const pageSize = 500

const User = Schema.Struct({
  id: Schema.NonEmptyString,
  primaryEmail: Schema.NonEmptyString,
  customerId: Schema.optionalKey(Schema.String),
  name: Schema.optionalKey(Schema.Struct({ fullName: Schema.optionalKey(Schema.String) })),
  suspended: Schema.optionalKey(Schema.Boolean),
  archived: Schema.optionalKey(Schema.Boolean),
  isMailboxSetup: Schema.optionalKey(Schema.Boolean),
  orgUnitPath: Schema.optionalKey(Schema.String)
})
export type User = typeof User.Type

const UserList = Schema.Struct({
  users: Schema.optionalKey(Schema.Array(User)),
  nextPageToken: Schema.optionalKey(Schema.String)
})

export type UserList = typeof UserList.Type

export const make = (options: {
  readonly rootUrl: string | undefined
  readonly auth: AccessToken
  readonly call: Call
  readonly network: Network
  /** The administrator for whom the service account acts. */
  readonly subject: string
}) => {
  const { auth, call, subject } = options
  const client = GoogleClient.make({
    auth,
    call,
    client: admin({
      version: "directory_v1",
      ...Transport.options(options.network),
      ...(options.rootUrl === undefined ? {} : { rootUrl: options.rootUrl })
    }),
    units: { "users.list": 1, "users.get": 1 },
    host: new URL(options.rootUrl ?? "https://admin.googleapis.com").host,
    // Google answers 403 if the subject may not read users ("Not Authorized to access this resource/api").
    explain: (error) =>
      error.reason._tag === "Forbidden"
        ? new IntegrationError({
            reason: new Forbidden({
              message: `${error.reason.message}: ${subject} must be an administrator who may read users, and the Admin SDK API must be enabled in the project of the service account`
            })
          })
        : error
  })

  return {
    /** Lists users by primary address. */
    users: (pageToken: string | undefined) =>
      client.request("users.list", "list of users", UserList, (directory, how) =>
        directory.users.list(
          {
            customer: "my_customer",
            orderBy: "email",
            maxResults: pageSize,
            ...(pageToken === undefined ? {} : { pageToken })
          },
          how
        )
      ),

    /** Reads a user by id or address. */
    user: (userKey: string) =>
      client.request("users.get", `user ${userKey}`, User, (directory, how) => directory.users.get({ userKey }, how))
  }
}
