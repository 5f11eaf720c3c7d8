/** Errors of sources that are servers of some protocol: how they are made, and what a library says went wrong. */
import * as IntegrationError from "../../contract/IntegrationError.ts"
import { redact } from "../../contract/Redaction.ts"

const error = (reason: IntegrationError.Reason) => new IntegrationError.IntegrationError({ reason })

/** An error of a request that is not repeated within its call: a second attempt would cost as much as the first. */
export class Unrepeated extends IntegrationError.IntegrationError {}

/**
 * The server answered that it failed at what was asked for, which may pass when the request is repeated. The connection
 * is in order, and so is what else the server has: of a folder or a mailbox it is a problem of that one.
 */
export class ServerFailure extends IntegrationError.IntegrationError {
  readonly isAnswer = true
}

export const failed = (message: string) => new ServerFailure({ reason: new IntegrationError.Transient({ message }) })

/** The error of a request about one item. A server that answers is not down: the item alone is tried again later. */
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

/** The code of a system error or of a library's, where it has one. */
export const codeOf = (cause: unknown): string | number | undefined => {
  if (typeof cause !== "object" || cause === null || !("code" in cause)) return undefined
  return typeof cause.code === "string" || typeof cause.code === "number" ? cause.code : undefined
}

/** The message of a library's error, on one line of at most 300 characters, without the secrets. */
export const describe = (cause: unknown, secrets: ReadonlyArray<string>): string => {
  const code = codeOf(cause)
  const text = cause instanceof Error ? cause.message : String(cause)
  const named = typeof code === "string" && sockets.includes(code) && !text.includes(code) ? `${code}: ${text}` : text
  return redact(named, secrets).replace(/\s+/g, " ").trim().slice(0, 300)
}
