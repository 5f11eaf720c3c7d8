/** Classifies an IMAP server's refusals and the errors of `imapflow`. */
import * as Duration from "effect/Duration"
import { IntegrationError, RateLimited } from "../../contract/IntegrationError.ts"
import * as Errors from "../server/Errors.ts"

const certificateCodes = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA)/

/** The secret with which a user logs in. */
export type Secret = { readonly password: string } | { readonly accessToken: string }

/** The fields of an IMAP library's error. */
interface Failure {
  readonly code?: unknown
  readonly responseStatus?: unknown
  readonly responseText?: unknown
  readonly serverResponseCode?: unknown
  readonly authenticationFailed?: unknown
  /** The server's error about an access token, which it sends before it refuses the login (RFC 7628, 3.2.2). */
  readonly oauthError?: unknown
  readonly mailboxMissing?: unknown
  readonly throttleReset?: unknown
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

/** Matches servers' texts for too many connections or logins, whatever the password. */
const tooMany =
  /too many|simultaneous|maximum number|max.{0,20}connection|connection limit|rate limit|throttl|try again later|temporar/i

/** Returns the status of an access token from the server: a word for OAUTHBEARER, an HTTP status for XOAUTH2. */
const tokenStatusOf = ({ oauthError }: Failure): string | undefined =>
  typeof oauthError === "object" && oauthError !== null && "status" in oauthError
    ? textOf(String(oauthError.status).slice(0, 40))
    : undefined

/**
 * Matches statuses of tokens that the server could not check, because their provider does not answer. Dovecot
 * (`auth/mech-oauth2.c`) still refuses the login with AUTHENTICATIONFAILED.
 */
const isUnchecked = /^(5\d\d|internal_failure|server_error|temporarily_unavailable)$/i

/** Classifies a refused login. */
const refusedLogin = (failure: Failure, text: string, isToken: boolean): IntegrationError => {
  if (!isToken) return Errors.unauthorized(text)
  const status = tokenStatusOf(failure)
  const withStatus = status === undefined ? text : `${text} (status ${status})`
  return status !== undefined && isUnchecked.test(status)
    ? Errors.transient(
        `${withStatus}: the server could not check the access token; if that stays so, it needs a new one`
      )
    : Errors.unauthorized(
        `${withStatus}: the server refuses the access token, which may have expired or be another account's`
      )
}

/**
 * Classifies a response by its response code (RFC 5530) if it has one. `what` names the request, `of` the subject of a
 * refusal: the login, one mailbox or message, or the whole account.
 */
const reasonOf = (failure: Failure, text: string, isToken: boolean): IntegrationError => {
  const code = (textOf(failure.serverResponseCode) ?? "").toUpperCase()
  const isLogin = failure.authenticationFailed === true
  if (failure.code === "ETHROTTLE" || (isLogin && (code === "LIMIT" || tooMany.test(text)))) {
    const wait = typeof failure.throttleReset === "number" ? { retryAfter: Duration.millis(failure.throttleReset) } : {}
    return new IntegrationError({ reason: new RateLimited({ message: text, ...wait }) })
  }
  if (["UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT", "MESSAGELIMIT"].includes(code)) {
    // Dovecot answers SERVERBUG for a mailbox with a broken index, and INUSE for one that another client locks.
    return isLogin || failure.responseStatus !== "NO" ? Errors.transient(text) : Errors.failed(text)
  }
  if (code === "PRIVACYREQUIRED") return Errors.unauthorized(`${text} (set "tls" in the config)`)
  if (isLogin) return refusedLogin(failure, text, isToken)
  if (failure.mailboxMissing === true || code === "NONEXISTENT" || failure.code === "NotFound") return Errors.gone(text)
  if (failure.responseStatus === "BAD") return Errors.malformed(text)
  return failure.responseStatus === "NO" ? Errors.forbidden(text) : Errors.transient(text)
}

/** Returns a function that classifies a failed request. Messages never contain the secret. */
export const classifier = (server: string, secret: Secret): ((what: string, cause: unknown) => IntegrationError) => {
  const isToken = "accessToken" in secret
  const say = (cause: unknown) => Errors.describe(cause, Object.values(secret))
  return (what, cause) => {
    const failure: Failure = typeof cause === "object" && cause !== null ? cause : {}
    const answer = textOf(failure.responseText)
    const detail = answer === undefined ? say(cause) : say(new Error(answer))
    const text = `${server}: ${what}: ${detail}`
    const code = Errors.codeOf(cause)
    if (typeof code === "string" && certificateCodes.test(code)) {
      return Errors.unauthorized(
        `${text}: the server's certificate is not trusted, nothing was sent to it ("ca" in the config names another authority)`
      )
    }
    if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") {
      return Errors.unauthorized(`${text}: the server does not begin with TLS (set "tls": "starttls" in the config)`)
    }
    if (code === "LiteralTooLarge" || code === "ResponseTooLarge") return Errors.tooLarge(text)
    if (code === "ETIMEOUT" || code === "CONNECT_TIMEOUT" || code === "GREETING_TIMEOUT") return Errors.noAnswer(text)
    if (cause instanceof Error && /unsupported authentication mechanism/i.test(cause.message)) {
      return Errors.unauthorized(
        isToken
          ? `${text}: the server takes no access token over this connection, by neither XOAUTH2 nor OAUTHBEARER`
          : `${text}: the server takes no such credentials over this connection`
      )
    }
    if (cause instanceof Error && /starttls/i.test(cause.message) && failure.responseStatus === undefined) {
      return Errors.unauthorized(`${text} ("tls": false in the config sends the password in clear)`)
    }
    return reasonOf(failure, text, isToken)
  }
}
