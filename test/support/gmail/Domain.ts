/**
 * A Google Workspace domain for the stand-in: its users, a service account with domain-wide delegation, the token
 * endpoint's part for it, and the Admin SDK's `users.list` and `users.get`.
 *
 * - Assertions and errors: https://developers.google.com/identity/protocols/oauth2/service-account (error codes), and
 *   "Robot is disabled." of googleapis/google-api-ruby-client#720.
 * - Users: https://developers.google.com/workspace/admin/directory/reference/rest/v1/users and `users/list`:
 *   100 users a page unless asked, 500 at most; page tokens; suspended and archived users are among the others.
 * - A user who was deleted: `invalid_grant`, "The account has been deleted" at first, and later `invalid_request`,
 *   "Invalid impersonation "sub" field" (GAM-team/GAM#1171).
 * - A suspended user: GAM-team/got-your-back#258 (see GmailServer.ts).
 * - A user without Gmail: 400 "Mail service not enabled" (googleapis/google-api-python-client#1101,
 *   https://developers.google.com/workspace/gmail/api/guides/handle-errors).
 */
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto"
import { Refusal } from "./Mailbox.ts"

export interface User {
  readonly id: string
  email: string
  name: string
  suspended: boolean
  archived: boolean
  isMailboxSetup: boolean
  isAdmin: boolean
}

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const other = generateKeyPairSync("rsa", { modulusLength: 2048 })

const pem = (key: typeof privateKey): string => key.export({ type: "pkcs8", format: "pem" }).toString()

/** A JSON key file, as Google makes it. */
export const key = {
  type: "service_account",
  project_id: "mirror-project",
  private_key_id: "0123456789abcdef",
  private_key: pem(privateKey),
  client_email: "idem@mirror-project.iam.gserviceaccount.com",
  client_id: "112233445566778899000",
  auth_uri: "https://accounts.google.com/o/oauth2/auth",
  token_uri: "https://oauth2.googleapis.com/token",
  auth_provider_x509_cert_url: "https://www.googleapis.com/oauth2/v1/certs",
  client_x509_cert_url: "https://www.googleapis.com/robot/v1/metadata/x509/idem",
  universe_domain: "googleapis.com"
}

/** A key that the service account does not have: another account's key, or a deleted key. */
export const deletedKey = { ...key, private_key: pem(other.privateKey) }

const gmail = "https://www.googleapis.com/auth/gmail.readonly"
const directory = "https://www.googleapis.com/auth/admin.directory.user.readonly"

const refusal = (error: string, description: string): readonly [number, string] => [
  error === "unauthorized_client" ? 401 : 400,
  JSON.stringify({ error, error_description: description })
]

export class Domain {
  readonly users: Array<User> = []
  /** The scopes that the Admin console grants to the client id. */
  readonly delegated = new Set([gmail, directory])
  /**
   * Addresses that `users.list` returns and the token endpoint does not know yet: addresses of new or renamed users,
   * for up to 24 hours (https://support.google.com/a/answer/2622985).
   */
  readonly unknownYet = new Set<string>()
  /** Addresses of deleted users, with how long ago they were deleted. */
  readonly deleted = new Map<string, "now" | "long ago">()
  /** True if the service account is disabled. */
  disabled = false
  /** The subjects of accepted assertions. */
  readonly subjects: Array<string> = []
  private readonly tokens = new Map<string, { readonly email: string; readonly scope: string }>()
  private issued = 0
  private lastId = 100_000_000_000_000_000_000n

  add(email: string, more: Partial<Omit<User, "id" | "email">> = {}): User {
    const user: User = {
      id: String((this.lastId += 7n)),
      email,
      name: email.split("@")[0] ?? email,
      suspended: false,
      archived: false,
      isMailboxSetup: true,
      isAdmin: false,
      ...more
    }
    this.users.push(user)
    return user
  }

  remove(user: User): void {
    this.users.splice(this.users.indexOf(user), 1)
  }

  user(email: string): User | undefined {
    return this.users.find((each) => each.email === email)
  }

  /** Grants the delegation anew. */
  delegate(): void {
    this.delegated.add(gmail).add(directory)
  }

  /** Returns the user for whom the service account got this access token. */
  holderOf(token: string): string | undefined {
    return this.tokens.get(token)?.email
  }

  forgetTokens(): void {
    this.tokens.clear()
  }

  /** Returns the token endpoint's response to an assertion. */
  exchange(
    assertion: string,
    expected: { readonly audience: string; readonly now: number; readonly expiresIn: number }
  ) {
    const [head = "", body = "", signature = ""] = assertion.split(".")
    const header = JSON.parse(Buffer.from(head, "base64url").toString()) as Record<string, unknown>
    const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as Record<string, unknown>
    if (header["alg"] !== "RS256" || header["kid"] !== key.private_key_id || claims["iss"] !== key.client_email) {
      return refusal("invalid_grant", "Invalid grant: account not found")
    }
    if (this.disabled) return refusal("invalid_grant", "Robot is disabled.")
    const signed = Buffer.from(`${head}.${body}`)
    if (!verify("RSA-SHA256", signed, createPublicKey(privateKey), Buffer.from(signature, "base64url"))) {
      return refusal("invalid_grant", "Invalid JWT Signature.")
    }
    const [issuedAt, expires] = [Number(claims["iat"]), Number(claims["exp"])]
    if (claims["aud"] !== expected.audience) return refusal("invalid_grant", "Invalid JWT: Failed audience check.")
    if (!(expires - issuedAt <= 3600 && issuedAt <= expected.now + 300 && expires > expected.now)) {
      const description =
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
        "Check your iat and exp values in the JWT claim."
      return refusal("invalid_grant", description)
    }
    const scope = String(claims["scope"])
    if (!scope.split(" ").every((each) => this.delegated.has(each))) {
      return refusal(
        "unauthorized_client",
        "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
      )
    }
    const subject = String(claims["sub"])
    const deleted = this.deleted.get(subject)
    if (deleted === "now") return refusal("invalid_grant", "The account has been deleted")
    if (deleted !== undefined) return refusal("invalid_request", 'Invalid impersonation "sub" field.')
    if (this.user(subject) === undefined || this.unknownYet.has(subject)) {
      return refusal("invalid_grant", "Invalid email or User ID")
    }
    this.issued += 1
    const token = `ya29.delegated-${this.issued}`
    this.tokens.set(token, { email: subject, scope })
    this.subjects.push(subject)
    return [200, JSON.stringify({ access_token: token, expires_in: expected.expiresIn, token_type: "Bearer" })] as const
  }

  /**
   * Answers `users.list` or, with an id or an address, `users.get`. Only an administrator with the scope is allowed.
   */
  directory(token: string, id: string | undefined, params: URLSearchParams): unknown {
    const held = this.tokens.get(token)
    const holder = held === undefined ? undefined : this.user(held.email)
    if (held?.scope.includes(directory) !== true || holder?.isAdmin !== true) {
      throw new Refusal(403, "forbidden", "Not Authorized to access this resource/api")
    }
    if (id !== undefined) {
      const found = this.users.find((each) => each.id === id || each.email === id)
      if (found === undefined) throw new Refusal(404, "notFound", "Resource Not Found: userKey")
      return resource(found)
    }
    if (!params.has("customer") && !params.has("domain")) throw new Refusal(400, "badRequest", "Bad Request")
    const domain = params.get("domain")
    const maxResults = Math.min(500, Number(params.get("maxResults") ?? "100"))
    const start = Number(params.get("pageToken") ?? "0")
    const all = this.users.filter(({ email }) => domain === null || email.endsWith(`@${domain}`))
    if (params.get("orderBy") === "email") all.sort((a, b) => (a.email < b.email ? -1 : 1))
    const page = all.slice(start, start + maxResults)
    // Google omits empty fields.
    return {
      kind: "admin#directory#users",
      ...(page.length > 0 ? { users: page.map(resource) } : {}),
      ...(start + maxResults < all.length ? { nextPageToken: String(start + maxResults) } : {})
    }
  }
}

const resource = (user: User) => ({
  kind: "admin#directory#user",
  id: user.id,
  etag: `"${Math.abs(Number(BigInt(user.id) % 1_000_000n))}"`,
  primaryEmail: user.email,
  name: { fullName: user.name },
  isAdmin: user.isAdmin,
  suspended: user.suspended,
  ...(user.suspended ? { suspensionReason: "ADMIN" } : {}),
  archived: user.archived,
  isMailboxSetup: user.isMailboxSetup,
  // Changes with every sign-in, and is unrelated to the mailbox.
  lastLoginTime: new Date().toISOString(),
  orgUnitPath: "/",
  customerId: "C03az79cb"
})
