/** Classifies the failures of FTP: the server's replies, TLS, and the network. */
import { FTPError } from "basic-ftp"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Errors from "../server/Errors.ts"

const certificateCodes = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA)/

/** Makes the classifier for one server. `secrets` are removed from messages. */
export const make = (server: string, secrets: ReadonlyArray<string>) => {
  const say = (cause: unknown) => Errors.describe(cause, secrets)

  /** Classifies a failed request; `what` names it. 550 is Forbidden here: see `refusal`. */
  const classify = (what: string, cause: unknown): IntegrationError => {
    const text = `${server}: ${what}: ${say(cause)}`
    if (cause instanceof FTPError) {
      // Servers reply 530 or 421 to too many logins at once, whatever the password.
      if (/too many|maximum number|max.*(clients|connections|logins)|already connected/i.test(cause.message)) {
        return Errors.rateLimited(text)
      }
      if (/cleartext|must use encryption|requires? (TLS|SSL)|(TLS|SSL) (is )?required/i.test(cause.message)) {
        return Errors.unauthorized(`${text} (set "protocol": "ftps")`)
      }
      if ([430, 530, 532, 332].includes(cause.code)) return Errors.unauthorized(text)
      // The file is busy, a local error, no room (RFC 959 4.2.2): these concern the file, and may pass.
      if ([450, 451, 452].includes(cause.code)) return Errors.failed(text)
      if (cause.code < 500) return Errors.transient(text)
      return [550, 551, 553].includes(cause.code) ? Errors.forbidden(text) : Errors.malformed(text)
    }
    if (cause instanceof Error && cause.message.startsWith("Timeout (")) return Errors.noAnswer(text)
    const code = Errors.codeOf(cause)
    if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
      return Errors.unauthorized(
        `${text}: the server does not begin with TLS (set "implicit": false in the config, or another port)`
      )
    }
    if (typeof code === "string" && certificateCodes.test(code)) {
      return Errors.unauthorized(
        `${text}: the server's certificate is not trusted, nothing was sent to it ("ca" in the config names another authority)`
      )
    }
    return Errors.transient(text)
  }

  /**
   * Classifies a failed listing of a folder. RFC 959 allows LIST to be refused by 450 and 451, and not by 550, but
   * servers use all of them for a folder that they may not read. For the root, 450 and 451 may pass: the whole listing
   * is retried.
   */
  const unlisted = (folder: string, what: string, cause: unknown): IntegrationError =>
    cause instanceof FTPError && [450, 451].includes(cause.code) && folder !== ""
      ? Errors.forbidden(`${server}: ${what}: ${say(cause)}`)
      : classify(what, cause)

  return { classify, unlisted }
}
