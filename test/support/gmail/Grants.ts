/**
 * The tokens of the stand-in: access tokens with their accounts, and refresh tokens, which are exchanged for more of
 * them.
 */
export class Grants {
  private readonly accessTokens = new Map<string, string>()
  private readonly refreshTokens = new Set<string>()
  private readonly spent = new Set<string>()
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

  /** Expires the access tokens that were issued so far. */
  expireAccessTokens(): void {
    this.accessTokens.clear()
  }

  /** Revokes the grant: no token works any more. */
  revoke(): void {
    this.accessTokens.clear()
    this.refreshTokens.clear()
  }

  /** Returns the status and body of the token endpoint's response to a refresh. */
  protected refresh(form: URLSearchParams, expiresIn: number): readonly [number, string] {
    const refreshToken = form.get("refresh_token") ?? ""
    if (this.spent.has(refreshToken)) this.refreshTokens.clear()
    if (form.get("grant_type") !== "refresh_token" || !this.refreshTokens.has(refreshToken)) {
      const error = { error: "invalid_grant", error_description: "Token has been expired or revoked." }
      return [400, JSON.stringify(error)]
    }
    this.issued += 1
    const accessToken = `fresh-${this.issued}`
    this.accessTokens.set(accessToken, this.email)
    const rotated = `rotated-${this.issued}`
    if (this.rotate) {
      this.refreshTokens.delete(refreshToken)
      this.spent.add(refreshToken)
      this.refreshTokens.add(rotated)
    }
    return [
      200,
      JSON.stringify({
        access_token: accessToken,
        expires_in: expiresIn,
        token_type: "Bearer",
        scope: "https://www.googleapis.com/auth/gmail.readonly",
        ...(this.rotate ? { refresh_token: rotated } : {})
      })
    ]
  }
}
