/** Classifies an SFTP server's refusals and the errors of `ssh2-sftp-client`. */
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Errors from "../server/Errors.ts"
import { status } from "./SftpProtocol.ts"

/** Returns a function that classifies a failed request. Messages never contain a secret. */
export const classifier =
  (server: string, secrets: ReadonlyArray<string>) =>
  (what: string, cause: unknown): IntegrationError => {
    const text = `${server}: ${what}: ${Errors.describe(cause, secrets)}`
    switch (Errors.codeOf(cause)) {
      case status.missing:
        return Errors.gone(text)
      case status.forbidden:
        return Errors.forbidden(text)
      case status.failure:
        // OpenSSH's reply if a disk fails, a mount is stale, or another program locks the file.
        return Errors.failed(text)
      case 5:
      case 8:
        return Errors.malformed(text)
    }
    if (/timed out while waiting for handshake/i.test(text)) return Errors.noAnswer(text)
    return /authentication methods failed|privateKey|private key|passphrase/i.test(text)
      ? Errors.unauthorized(text)
      : Errors.transient(text)
  }
