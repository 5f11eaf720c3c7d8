/** Bodies of a server, as they stream. */
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import { type Body, NotFound } from "../../engine/Control.ts"
import { StoreError } from "../../engine/Store.ts"
import * as Answers from "./Answers.ts"

/** A body's bytes, or a range of them. */
export const make =
  (http: HttpClient.HttpClient, url: string) =>
  (
    ref: string,
    externalId: string,
    range?: Parameters<Body["bytes"]>[0]
  ): Stream.Stream<Uint8Array, NotFound | StoreError> => {
    if (range !== undefined && range.end <= range.start) return Stream.empty
    const id = JSON.stringify(externalId)
    const unreadable = (cause: unknown) =>
      new StoreError({ message: `the bytes of ${id} can't be read: ${Answers.serverError(url, cause).message}`, cause })
    const request = HttpClientRequest.get(`/connections/${encodeURIComponent(ref)}/content/body`, {
      urlParams: { externalId },
      ...(range === undefined ? {} : { headers: { range: `bytes=${range.start}-${range.end - 1}` } })
    })
    const answer = Effect.gen(function* () {
      const response = yield* Effect.mapError(http.execute(request), unreadable)
      if (response.status === 404) {
        return yield* new NotFound({ what: "body", message: `no body of ${id} is stored any more` })
      }
      return yield* Effect.mapError(HttpClientResponse.filterStatusOk(response), unreadable)
    })
    return Stream.unwrap(Effect.map(answer, ({ stream }) => Stream.mapError(stream, unreadable)))
  }
