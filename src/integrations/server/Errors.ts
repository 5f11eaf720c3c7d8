/** Makes the errors of sources that are servers of a protocol, and describes libraries' errors. */
import * as IntegrationError from "../../contract/IntegrationError.ts"
import { redact } from "../../contract/Redaction.ts"

const error = (reason: IntegrationError.Reason) => new IntegrationError.IntegrationError({ reason })

/**
 * An error of a request that is not repeated within its call, because a second attempt would cost as much as the first.
 */
export class Unrepeated extends IntegrationError.IntegrationError {}

/**
 * The server answered that a request failed, which may pass when it is repeated. The connection works, and so do other
 * requests: for a folder or a mailbox, it is a problem of that one.
 */
export class ServerFailure extends IntegrationError.IntegrationError {
  readonly isAnswer = true
}

export const failed = (message: string) => new ServerFailure({ reason: new IntegrationError.Transient({ message }) })

/**
 * Converts the error of a request about one item. A server that answers is not down: only this item is retried later.
 */
export const ofItem = (error: IntegrationError.IntegrationError): IntegrationError.IntegrationError =>
  error instanceof ServerFailure ? forbidden(error.message) : error

/** The server was silent for the configured time. */
export const noAnswer = (message: string) => new Unrepeated({ reason: new IntegrationError.Transient({ message }) })

export const unauthorized = (message: string) => error(new IntegrationError.Unauthorized({ message }))
export const rateLimited = (message: string) => error(new IntegrationError.RateLimited({ message }))
export const transient = (message: string) => error(new IntegrationError.Transient({ message }))
export const gone = (message: string) => error(new IntegrationError.Gone({ message }))
export const forbidden = (message: string) => error(new IntegrationError.Forbidden({ message }))
export const tooLarge = (message: string) => error(new IntegrationError.TooLarge({ message }))
export const malformed = (message: string) => error(new IntegrationError.Malformed({ message }))
export const unsettled = (message: string) => error(new IntegrationError.Unsettled({ message }))

const sockets = ["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EPIPE", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH"]

/** Returns the code of a system error or of a library's error; undefined if it has none. */
export const codeOf = (cause: unknown): string | number | undefined => {
  if (typeof cause !== "object" || cause === null || !("code" in cause)) return undefined
  return typeof cause.code === "string" || typeof cause.code === "number" ? cause.code : undefined
}

/** Returns the message of a library's error, on one line of at most 300 characters, without the secrets. */
export const describe = (cause: unknown, secrets: ReadonlyArray<string>): string => {
  const code = codeOf(cause)
  const text = cause instanceof Error ? cause.message : String(cause)
  const named = typeof code === "string" && sockets.includes(code) && !text.includes(code) ? `${code}: ${text}` : text
  return redact(named, secrets).replace(/\s+/g, " ").trim().slice(0, 300)
}
