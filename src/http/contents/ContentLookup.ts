/** Finds the content that a request names, and its body. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as MessageText from "../../engine/MessageText.ts"
import type { ByteRange } from "../../engine/model/Content.ts"
import type { BodyStore } from "../../engine/store/BodyStore.ts"
import type { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import { NotFoundProblem } from "../Problems.ts"

/** A stored body. */
export interface Body {
  readonly title: string | null
  readonly mediaType: string | null
  readonly hash: string
  readonly size: number
  /** Streams all bytes, or a range of them. */
  readonly bytes: (range?: ByteRange) => Stream.Stream<Uint8Array, StoreError>
}

interface Ports {
  readonly connections: ConnectionStore["Service"]
  readonly contents: ContentStore["Service"]
}

/** Finds a content and its connection. */
export const find = Effect.fnUntraced(function* ({ connections, contents }: Ports, ref: string, externalId: string) {
  const connection = yield* ConnectionLookup.find(connections, ref)
  const content = Option.getOrUndefined(yield* contents.content(connection.id, externalId))
  if (content !== undefined) return { connection, content }
  return yield* new NotFoundProblem({
    what: "content",
    detail: `${MessageText.quoted(connection.name)} has no content with the id ${MessageText.quoted(externalId)}`
  })
})

/** Finds the body of a content. Fails if the content has none. */
export const body = Effect.fnUntraced(function* (
  ports: Ports & { readonly bodies: BodyStore["Service"] },
  ref: string,
  externalId: string
): Effect.fn.Return<Body, NotFoundProblem | StoreError> {
  const { hash, mediaType, size, state, title } = (yield* find(ports, ref, externalId)).content
  if (hash === null) {
    return yield* new NotFoundProblem({
      what: "body",
      detail: `${MessageText.quoted(externalId)} is ${state}, and no body of it is stored`
    })
  }
  return { title, mediaType, hash, size, bytes: (range) => ports.bodies.body(hash, range) }
})
