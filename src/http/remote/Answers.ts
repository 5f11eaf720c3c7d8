/** What a server answers instead of what was asked, as the errors of `Control`: the inverse of `Problems.asProblem`. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { Conflict, CursorInvalid, NotFound } from "../../engine/Control.ts"
import { SourceError, UsageError } from "../../engine/Engine.ts"
import { NameTaken, StoreError } from "../../engine/Store.ts"
import * as Problems from "../Problems.ts"

/** The server can't be used at all: the message names `IDEM_URL` and says what to do next. */
export class ServerError extends Schema.TaggedError<ServerError>()("ServerError", {
  reason: Schema.Literals(["Unreachable", "Unauthorized", "Forbidden", "TooManyRequests", "NotIdem", "OtherVersion"]),
  message: Schema.String
}) {}

type ErrorOf<E> = E extends Problems.NotFoundProblem
  ? NotFound
  : E extends Problems.CursorProblem | Problems.CursorGoneProblem
    ? CursorInvalid
    : E extends Problems.ConflictProblem
      ? Conflict
      : E extends Problems.NameTakenProblem
        ? NameTaken
        : E extends Problems.UsageProblem
          ? UsageError
          : E extends Problems.SourceRefusedProblem | Problems.SourceAwayProblem
            ? SourceError
            : StoreError

const codeOf = (cause: unknown): string | undefined => {
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return cause.code
  return Predicate.hasProperty(cause, "cause") ? codeOf(cause.cause) : undefined
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection broke off",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the host's address can't be found now",
  ETIMEDOUT: "no answer in time",
  EHOSTUNREACH: "the host can't be reached"
}

const unreachable = (at: string, code: string): string => {
  if (/CERT|SIGNATURE|ISSUER/.test(code)) {
    return `the certificate of the server at ${at} is not trusted (${code}): if the authority is your own, name its file in NODE_EXTRA_CA_CERTS`
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL")) return `the server at ${at} does not speak https: is it http?`
  if (code.startsWith("HPE_")) return `the server at ${at} does not speak http: is it https?`
  const why = code === "" ? "" : ` (${words[code] ?? code})`
  return `no server answers at ${at}${why}: start it there with idem serve, or unset IDEM_URL`
}

/** Any error of a request as one that names the server. */
export const serverError = (url: string, error: unknown): ServerError => {
  const at = `IDEM_URL (${url})`
  if (error instanceof Problems.UnauthorizedProblem) {
    return new ServerError({
      reason: "Unauthorized",
      message: `the server at ${at} does not take this token: set IDEM_API_TOKEN to the one that it was started with`
    })
  }
  if (error instanceof Problems.ForbiddenProblem) {
    return new ServerError({
      reason: "Forbidden",
      message: `the server at ${at} refuses requests for this name${error.detail === undefined ? "" : ` (${error.detail})`}: use the address that it listens on, or start it with an IDEM_API_TOKEN`
    })
  }
  if (error instanceof Problems.TooManyRequestsProblem) {
    return new ServerError({
      reason: "TooManyRequests",
      message: `the server at ${at} was given too many wrong tokens: try again in ${error.retryAfter} seconds, with the right IDEM_API_TOKEN`
    })
  }
  if (HttpClientError.isHttpClientError(error) && error.reason._tag === "TransportError") {
    return new ServerError({ reason: "Unreachable", message: unreachable(at, codeOf(error.reason) ?? "") })
  }
  return new ServerError({
    reason: "NotIdem",
    message: `what answers at ${at} is not the API of Idem, or that of another version: set IDEM_URL to where idem serve listens`
  })
}

/** Whether the same request may be answered a little later. */
export const isPassing = (cause: unknown): boolean =>
  cause instanceof Problems.UnavailableProblem || HttpClient.isTransientError(cause)

const places = (problem: Problems.BadRequestProblem): string =>
  (problem.errors ?? []).map(({ place, message }) => `${place}: ${message}`).join("; ")

const errorOf = (url: string, error: unknown): unknown => {
  if (error instanceof Problems.NotFoundProblem && error.what !== "path") {
    return new NotFound({ what: error.what, message: error.detail ?? error.title })
  }
  if (error instanceof Problems.CursorProblem) {
    return new CursorInvalid({ reason: error.reason, message: error.detail ?? error.title })
  }
  if (error instanceof Problems.CursorGoneProblem) {
    return new CursorInvalid({ reason: "gone", message: error.detail ?? error.title })
  }
  if (error instanceof Problems.ConflictProblem) return new Conflict({ message: error.detail ?? error.title })
  if (error instanceof Problems.NameTakenProblem) return new NameTaken({ name: error.name })
  if (error instanceof Problems.UsageProblem) return new UsageError({ message: error.detail ?? error.title })
  if (error instanceof Problems.SourceRefusedProblem || error instanceof Problems.SourceAwayProblem) {
    return new SourceError({ reason: error.reason, message: error.detail ?? error.title })
  }
  if (error instanceof Problems.UnavailableProblem) {
    return new StoreError({ message: error.detail ?? error.title, cause: error })
  }
  if (error instanceof Problems.BadRequestProblem) {
    const why = [error.detail, places(error)].filter((text) => text !== undefined && text !== "").join(": ")
    return new StoreError({ message: `the server at IDEM_URL (${url}) refuses the request: ${why}`, cause: error })
  }
  if (error instanceof Problems.UnexpectedProblem) {
    return new StoreError({
      message: `something went wrong in the server at IDEM_URL (${url}) that should not: its log says what, under ${error.id}`,
      cause: error
    })
  }
  const { message } = serverError(url, error)
  return new StoreError({ message, cause: error })
}

/** The problems of a request as the errors of `Control`; a server that can't be used is a store that can't be reached. */
export const asErrors =
  (url: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, ErrorOf<E>, R> =>
    // Each problem is replaced by the error that its type says.
    Effect.mapError(work, (error) => errorOf(url, error) as ErrorOf<E>)
