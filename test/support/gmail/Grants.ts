/**
 * The tokens of the stand-in: access tokens with their accounts, refresh tokens, which are exchanged for more of them,
 * and the codes of sign-ins, each for one use (RFC 6749, 4.1.2).
 */
export class Grants {
  private readonly accessTokens = new Map<string, string>()
  private readonly refreshTokens = new Set<string>()
  private readonly spent = new Set<string>()
  private readonly codes = new Set<string>()
  private issued = 0
  protected readonly email: string
  /** True if each refresh replaces the refresh token, as Google may. Reusing a replaced token ends the grant. */
  rotate = false

  constructor(email: string) {
    this.email = email
  }

  protected accountOf(accessToken: string): string | undefined {
    return this.accessTokens.get(accessToken)
  }

  /** Adds an access token of this account or of another one. */
  allow(accessToken: string, email = this.email): void {
    this.accessTokens.set(accessToken, email)
  }

  /** Adds a refresh token that the token endpoint accepts with any client. */
  grant(refreshToken: string): void {
    this.refreshTokens.add(refreshToken)
  }

  /** Adds the code of a sign-in that the token endpoint accepts once. */
  authorize(code: string): void {
    this.codes.add(code)
  }

  /** Expires the access tokens that were issued so far. */
  expireAccessTokens(): void {
    this.accessTokens.clear()
  }

  /** Revokes the grant: no token works any more. */
  revoke(): void {
    this.accessTokens.clear()
    this.refreshTokens.clear()
  }

  /** Returns the status and body of the token endpoint's response to a refresh, or to the code of a sign-in. */
  protected exchange(form: URLSearchParams, expiresIn: number): readonly [number, string] {
    if (form.get("grant_type") === "authorization_code") {
      if (!this.codes.delete(form.get("code") ?? "")) return invalidGrant("Bad Request")
      const refreshToken = `granted-${this.issued + 1}`
      this.grant(refreshToken)
      return this.issue(expiresIn, refreshToken)
    }
    const refreshToken = form.get("refresh_token") ?? ""
    if (this.spent.has(refreshToken)) this.refreshTokens.clear()
    if (form.get("grant_type") !== "refresh_token" || !this.refreshTokens.has(refreshToken)) {
      return invalidGrant("Token has been expired or revoked.")
    }
    if (!this.rotate) return this.issue(expiresIn)
    const rotated = `rotated-${this.issued + 1}`
    this.refreshTokens.delete(refreshToken)
    this.spent.add(refreshToken)
    this.refreshTokens.add(rotated)
    return this.issue(expiresIn, rotated)
  }

  /** Issues an access token, in a response with this refresh token. */
  private issue(expiresIn: number, refreshToken?: string): readonly [number, string] {
    this.issued += 1
    const accessToken = `fresh-${this.issued}`
    this.accessTokens.set(accessToken, this.email)
    return [
      200,
      JSON.stringify({
        access_token: accessToken,
        expires_in: expiresIn,
        token_type: "Bearer",
        scope: "https://www.googleapis.com/auth/gmail.readonly",
        ...(refreshToken === undefined ? {} : { refresh_token: refreshToken })
      })
    ]
  }
}

const invalidGrant = (description: string): readonly [number, string] => [
  400,
  JSON.stringify({ error: "invalid_grant", error_description: description })
]
