/** From a ref to an item that a store can write: downloaded, bounded, hashed, a large body already in the blob store. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { Content, Ref } from "../../contract/Content.ts"
import { IntegrationError, TooLarge, Transient } from "../../contract/IntegrationError.ts"
import type { Limits } from "../Limits.ts"
import { type Meter, touch } from "./RunMeter.ts"
import type { Item, StoredBody } from "../model/Batch.ts"
import type { Store, StoreError } from "../Store.ts"

const titleLength = 1000

const hashOf = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest()

const inline = (bytes: Uint8Array): StoredBody => ({ _tag: "Inline", hash: hashOf(bytes), bytes })

/** Bytes as they arrive: each chunk within its time, all of them within the largest body. */
const bounded = (
  body: Stream.Stream<Uint8Array, IntegrationError>,
  externalId: string,
  limits: Limits,
  meter: Meter
): Stream.Stream<Uint8Array, IntegrationError> => {
  let size = 0
  return body.pipe(
    Stream.timeoutOrElse({
      duration: limits.chunkTimeout,
      orElse: () =>
        Stream.fail(
          new IntegrationError({
            reason: new Transient({
              message: `the body of ${externalId} stopped: nothing came for ${Duration.format(limits.chunkTimeout)}`
            })
          })
        )
    }),
    Stream.tap((chunk) => {
      size += chunk.length
      return size <= limits.bodyBytes
        ? touch(meter)
        : Effect.fail(
            new IntegrationError({
              reason: new TooLarge({ message: `the body of ${externalId} has more than ${limits.bodyBytes} bytes` })
            })
          )
    })
  )
}

/** Holds a body in memory while it is small; one that outgrows that goes on, streamed, to the blob store. */
const keep = (
  body: Stream.Stream<Uint8Array, IntegrationError>,
  store: Store["Service"],
  limits: Limits
): Effect.Effect<StoredBody, IntegrationError | StoreError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(body)
      const chunks: Array<Uint8Array> = []
      let size = 0
      const ended = yield* Effect.gen(function* () {
        while (size <= limits.inlineBytes) {
          for (const chunk of yield* pull) {
            chunks.push(chunk)
            size += chunk.length
          }
        }
        return false
      }).pipe(Pull.catchDone(() => Effect.succeed(true)))
      if (ended) return inline(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size))
      // Handed over one by one, so that what was held can go as it is written.
      const held = Stream.suspend(() => Stream.fromIterable(chunks.splice(0)))
      const blob = yield* store.writeBlob(Stream.concat(held, Stream.fromPull(Effect.succeed(pull))))
      return { _tag: "Blob", hash: blob.hash, size: blob.size } as const
    })
  )

const oneLine = (title: string | undefined): string | undefined =>
  title?.replaceAll(/\s+/g, " ").trim().slice(0, titleLength)

/** What is written for this ref. The revision is the one seen before the download, unless one came with the bytes. */
export const item = Effect.fnUntraced(function* (
  ref: Ref,
  content: Content,
  options: { readonly store: Store["Service"]; readonly limits: Limits; readonly meter: Meter }
): Effect.fn.Return<Item, IntegrationError | StoreError> {
  const { limits, meter, store } = options
  const body =
    content.body instanceof Uint8Array && content.body.length <= limits.inlineBytes
      ? inline(content.body)
      : yield* keep(
          bounded(
            content.body instanceof Uint8Array ? Stream.succeed(content.body) : content.body,
            ref.externalId,
            limits,
            meter
          ),
          store,
          limits
        )
  return {
    externalId: ref.externalId,
    revision: content.revision ?? ref.revision,
    kind: content.kind,
    title: oneLine(content.title),
    occurredAt: content.occurredAt,
    mediaType: content.mediaType,
    metadata: content.metadata,
    volatile: content.volatile ?? {},
    body
  }
})

/** Bytes of the body that an item holds in memory. */
export const held = (item: Item): number => (item.body._tag === "Inline" ? item.body.bytes.length : 0)

/** Bytes of its body, wherever they are. */
export const size = ({ body }: Item): number => (body._tag === "Inline" ? body.bytes.length : body.size)
