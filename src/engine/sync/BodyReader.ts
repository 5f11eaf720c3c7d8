/**
 * Reads a content's body: checks its bounds and its announced properties, hashes it, and streams a large one to the
 * blob store.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Crypto from "node:crypto"
import { type Announced, withLateFields, type Content, maxTitleLength, type Ref } from "../../contract/Content.ts"
import { IntegrationError, TooLarge, Transient } from "../../contract/IntegrationError.ts"
import * as SessionValues from "../../contract/SessionValues.ts"
import type { Limits } from "../Limits.ts"
import * as BodyVerification from "./BodyVerification.ts"
import * as ContentValidation from "./ContentValidation.ts"
import * as DownloadBudget from "./DownloadBudget.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { ReadItem } from "./SliceEvent.ts"
import type { CopySource, Item, StoredBody } from "../model/Batch.ts"
import type { BodyStore } from "../store/BodyStore.ts"
import type { StoreError } from "../store/StoreError.ts"

/** In Node's pool of small buffers: a buffer of its own would make the digest of a small body cost a third more. */
const hashOf = (bytes: Uint8Array): Uint8Array => Buffer.from(Crypto.hash("sha256", bytes, "hex"), "hex")

const inline = (bytes: Uint8Array): StoredBody => ({ _tag: "Inline", hash: hashOf(bytes), bytes })

const tooLarge = (externalId: string, limits: Limits) =>
  new IntegrationError({
    reason: new TooLarge({ message: `the body of ${externalId} has more than ${limits.bodyBytes} bytes` })
  })

const notStored = (externalId: string, problem: string) =>
  SessionValues.malformed(`${externalId} was not stored: ${problem}`)

/**
 * Streams the bytes of a body. Fails if a chunk takes too long, if the body is larger than the limit, or if it differs
 * from its announcement.
 */
const bounded = (
  body: Stream.Stream<Uint8Array, IntegrationError>,
  ref: Ref,
  announced: Announced | undefined,
  { limits, meter }: Options
): Stream.Stream<Uint8Array, IntegrationError> => {
  const { externalId } = ref
  const check = BodyVerification.check(announced)
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
      if (size > limits.bodyBytes) return Effect.fail(tooLarge(externalId, limits))
      const problem = check.take(chunk)
      return problem === undefined ? RunMeter.touch(meter) : Effect.fail(notStored(externalId, problem))
    }),
    Stream.concat(
      Stream.suspend(() => {
        const problem = check.end()
        return problem === undefined ? Stream.empty : Stream.fail(notStored(externalId, problem))
      })
    )
  )
}

/**
 * Returns true if a body is certainly too large for memory. An estimate may be twice too high, so half of it is used.
 */
const isLarge = (announced: Announced | undefined, limits: Limits): boolean =>
  (announced?.size ?? (announced?.estimate ?? 0) / 2) > limits.inlineBytes

/** Holds a small body in memory. A body that outgrows the limit is streamed on to the blob store. */
const readBody = (
  body: Stream.Stream<Uint8Array, IntegrationError>,
  announced: Announced | undefined,
  { bodies, limits, share }: Options
): Effect.Effect<StoredBody, IntegrationError | StoreError> =>
  Effect.scoped(
    Effect.gen(function* () {
      if (isLarge(announced, limits)) {
        yield* share.grow(DownloadBudget.streamBytes)
        const { hash, size } = yield* bodies.writeBlob(body)
        return { _tag: "Blob", hash, size } as const
      }
      const pull = yield* Stream.toPull(body)
      const chunks: Array<Uint8Array> = []
      let size = 0
      const ended = yield* Effect.gen(function* () {
        while (size <= limits.inlineBytes) {
          if (size > share.size()) yield* share.grow(limits.inlineBytes)
          for (const chunk of yield* pull) {
            chunks.push(chunk)
            size += chunk.length
          }
        }
        return false
      }).pipe(Pull.catchDone(() => Effect.succeed(true)))
      if (ended) return inline(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size))
      // Emitted one by one, so that each chunk is freed once it is written.
      const chunksSoFar = Stream.suspend(() => Stream.fromIterable(chunks.splice(0)))
      const rest = Stream.concat(Stream.fromEffectDrain(share.stream), Stream.fromPull(Effect.succeed(pull)))
      const blob = yield* bodies.writeBlob(Stream.concat(chunksSoFar, rest))
      return { _tag: "Blob", hash: blob.hash, size: blob.size } as const
    })
  )

const oneLine = (title: string | undefined): string | undefined =>
  title?.replaceAll(/\s+/g, " ").trim().slice(0, maxTitleLength)

interface Options {
  readonly bodies: BodyStore["Service"]
  readonly limits: Limits
  readonly meter: RunMeter.RunMeter
  /** The download's share of the memory budget. */
  readonly share: DownloadBudget.Share
}

/**
 * The bytes for which a body in the blob store counts in a batch, because the commit checks each of them in the blob
 * store.
 */
const blobBytes = 64 * 1024

const batchBytesOf = (body: StoredBody, metadataLength: number): number =>
  metadataLength + (body._tag === "Inline" ? body.bytes.length : body._tag === "Blob" ? blobBytes : 0)

/**
 * Reads the content of a ref, and returns it as an item to write. Its revision is the one seen before the download,
 * unless the source sent one with the body.
 */
export const item = Effect.fnUntraced(function* (
  ref: Ref,
  content: Content,
  options: Options
): Effect.fn.Return<ReadItem, IntegrationError | StoreError> {
  const { limits, meter, share } = options
  const { announced, body: given } = content
  if (announced?.size !== undefined && announced.size > limits.bodyBytes) return yield* tooLarge(ref.externalId, limits)
  const size = given instanceof Uint8Array ? given.length : announced?.size
  if (size !== undefined && size <= limits.inlineBytes) yield* share.grow(size)
  let body: StoredBody
  if (given instanceof Uint8Array && given.length <= limits.inlineBytes) {
    const problem = BodyVerification.problemOf(announced, given)
    if (problem !== undefined) return yield* notStored(ref.externalId, problem)
    body = inline(given)
  } else {
    body = yield* readBody(
      bounded(given instanceof Uint8Array ? Stream.succeed(given) : given, ref, announced, options),
      announced,
      options
    )
  }
  yield* RunMeter.bodyRead(meter, body._tag === "Inline" ? body.bytes.length : body.size)
  const whole = yield* withLateFields(content)
  const length = ContentValidation.metadataLength(whole)
  if (Result.isFailure(length)) return yield* notStored(ref.externalId, length.failure)
  const { bodyKey, kind, mediaType, metadata, occurredAt, revision, title, volatile } = whole
  return {
    item: {
      externalId: ref.externalId,
      revision: revision ?? ref.revision,
      kind,
      title: oneLine(title),
      occurredAt,
      mediaType,
      metadata,
      volatile: volatile ?? {},
      body,
      bodyKey
    },
    batchBytes: batchBytesOf(body, length.success)
  }
})

/** Returns the item for a ref that is a copy of another content. */
export const copy = (
  { copy, externalId, revision }: Ref,
  source: CopySource
): Effect.Effect<ReadItem, IntegrationError> => {
  const occurredAt = copy?.occurredAt ?? source.occurredAt
  const item = { ...source, externalId, revision, occurredAt, metadata: { ...source.metadata, ...copy?.metadata } }
  return Result.match(ContentValidation.metadataLength(item), {
    onFailure: (problem) => Effect.fail(notStored(externalId, problem)),
    onSuccess: (length) => Effect.succeed({ item, batchBytes: batchBytesOf(item.body, length) })
  })
}

/** Returns the size of an item's body, wherever it is stored. */
export const size = ({ body }: Item): number => (body._tag === "Inline" ? body.bytes.length : body.size)
