/**
 * Downloads messages. Small ones are read in groups: one FETCH reads the requested message and those that the same page
 * chose after it, so that a distant server does not cost a round trip for each message. A large message is read alone
 * and in pieces, on demand.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Content } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Errors from "../server/Errors.ts"
import type { Client } from "./Client.ts"
import * as MessageContent from "./MessageContent.ts"
import { type Details, details, detailsOf, detailsQuery, missing, type Place, uids } from "./Messages.ts"
import * as Names from "./Names.ts"

/** A message up to this many bytes is read as a whole. */
const inlineBytes = 1024 * 1024
/** The most messages and bytes of one FETCH. */
const maxTogether = 32
const maxTogetherBytes = 1024 * 1024
/** The bytes of one piece of a large message. */
const pieceBytes = 1024 * 1024
/** The most bytes of messages that were read with others and not yet requested. */
const maxKeptBytes = 8 * 1024 * 1024
/** How many messages are remembered until they are downloaded: some pages. */
const maxRemembered = 5_000

/** The library returns false for the NIL of a server that has no bytes yet. */
const bytesOf = (source: unknown): Uint8Array => (source instanceof Uint8Array ? source : new Uint8Array())

export interface Downloads {
  /** Records messages that will be downloaded, in this order. */
  readonly expect: (place: Place, messages: ReadonlyArray<Details>) => void
  readonly download: (place: Place, uid: number) => Effect.Effect<Content, IntegrationError>
}

/** The result for a message of a group: its bytes, or `Option.none` if it has to be read alone. */
type Together = Deferred.Deferred<Option.Option<{ readonly message: Details; readonly body: Uint8Array }>>

export const make = Effect.fnUntraced(function* (
  client: Client,
  maxMessageSize: number | undefined
): Effect.fn.Return<Downloads, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const expected = new Map<string, { readonly place: Place; readonly message: Details }>()
  const reading = new Map<string, Together>()
  /** The sizes of the messages in `reading` that have been read, oldest first. */
  const kept = new Map<string, number>()
  let keptBytes = 0

  const forget = (id: string) => {
    reading.delete(id)
    keptBytes -= kept.get(id) ?? 0
    kept.delete(id)
  }

  /**
   * The engine may copy a message instead of requesting it. A message that is not requested for long is dropped, and
   * read again if needed.
   */
  const keep = (id: string, bytes: number) => {
    kept.set(id, bytes)
    keptBytes += bytes
    for (const oldest of kept.keys()) {
      if (keptBytes <= maxKeptBytes) break
      forget(oldest)
    }
  }

  const idOf = ({ name, validity }: Place, uid: number) => Names.format({ mailbox: name, validity, uid })

  const isSmall = ({ size }: Details) => size !== undefined && size <= Math.min(inlineBytes, maxMessageSize ?? Infinity)

  /** Returns the message with this id, and the messages after it in the same mailbox that are read with it. */
  const takeTogether = (id: string, place: Place): ReadonlyArray<readonly [string, Details]> => {
    const taken: Array<readonly [string, Details]> = []
    let bytes = 0
    let isReached = false
    for (const [other, { message, place: itsPlace }] of expected) {
      isReached ||= other === id
      if (!isReached) continue
      if (itsPlace.name !== place.name || itsPlace.validity !== place.validity) break
      if (!isSmall(message)) continue
      bytes += message.size ?? 0
      if (taken.length >= maxTogether || (taken.length > 0 && bytes > maxTogetherBytes)) break
      taken.push([other, message])
    }
    for (const [other] of taken) expected.delete(other)
    return taken
  }

  /** Reads messages in one FETCH. Messages that the server does not return are later read alone. */
  const readTogether = Effect.fnUntraced(function* (place: Place, taken: ReadonlyArray<readonly [string, Details]>) {
    const waiting = new Map(taken.map(([id, { uid }]) => [uid, id]))
    const settle = (uid: number, result: Effect.Success<Together["effect"]>) => {
      const id = waiting.get(uid)
      const deferred = id === undefined ? undefined : reading.get(id)
      if (deferred === undefined) return
      waiting.delete(uid)
      if (id !== undefined && Option.isSome(result)) keep(id, result.value.body.length)
      Deferred.doneUnsafe(deferred, Effect.succeed(result))
    }
    const range = Names.sequenceSet([...waiting.keys()])
    yield* client
      .inMailbox(place.path, place.validity, "FETCH", `messages of ${Names.quote(place.name)}`, async ({ imap }) => {
        for await (const row of imap.fetch(range, { ...detailsQuery, source: true }, { uid: true })) {
          const body = row.source
          if (body !== undefined && body.length > 0) settle(row.uid, Option.some({ message: detailsOf(row), body }))
        }
      })
      .pipe(
        Effect.ignore,
        Effect.ensuring(
          Effect.sync(() => {
            for (const uid of waiting.keys()) settle(uid, Option.none())
          })
        )
      )
  })

  const tooLarge = (id: string, size: number) =>
    Errors.tooLarge(`message ${id} has ${size} bytes, more than "maxMessageSize"`)

  /** Reads at most one piece of bytes from `start`. */
  const piece = (place: Place, uid: number, start: number, maxLength: number) =>
    client.inMailbox(
      place.path,
      place.validity,
      "FETCH",
      `UID ${uid} of ${Names.quote(place.name)}`,
      async ({ imap }) => {
        const row = await imap.fetchOne(String(uid), { uid: true, source: { start, maxLength } }, { uid: true })
        return row === false ? undefined : bytesOf(row.source)
      }
    )

  /** Streams the bytes of a large message. An empty response is requested once more before it counts as the end. */
  const pieces = (place: Place, message: Details): Stream.Stream<Uint8Array, IntegrationError> =>
    Stream.paginate({ start: 0, isAskedAgain: false }, ({ isAskedAgain, start }) =>
      Effect.flatMap(piece(place, message.uid, start, pieceBytes), (bytes) => {
        if (bytes === undefined) return Effect.fail(missing(place, message.uid))
        const end = start + bytes.length
        const isEnd = bytes.length < pieceBytes && end >= (message.size ?? 0)
        if (bytes.length === 0 && start === 0 && isAskedAgain) {
          return Effect.fail(Errors.transient(`the server gave no bytes of ${idOf(place, message.uid)}`))
        }
        const isOver = isEnd ? end > 0 : bytes.length === 0 && isAskedAgain
        return Effect.succeed([
          bytes.length === 0 ? [] : [bytes],
          isOver ? Option.none() : Option.some({ start: end, isAskedAgain: bytes.length === 0 })
        ] as const)
      })
    )

  /** Reads the server's present metadata of a message. */
  const describe = Effect.fnUntraced(function* (place: Place, uid: number) {
    const found = (yield* details(client, place, [uid])).get(uid)
    if (found !== undefined) return found
    // A response that the library could not read looks like a missing one. The message is gone only if a search does
    // not find it.
    return yield* Effect.fail(
      (yield* uids(client, place, uid, uid + 1)).length === 0
        ? missing(place, uid)
        : Errors.malformed(`the server's answer about ${idOf(place, uid)} can't be read`)
    )
  })

  const readAlone = Effect.fnUntraced(function* (
    place: Place,
    uid: number
  ): Effect.fn.Return<Content, IntegrationError> {
    const message = yield* describe(place, uid)
    if (message.size !== undefined && message.size > (maxMessageSize ?? Infinity)) {
      return yield* Effect.fail(tooLarge(idOf(place, uid), message.size))
    }
    if (!isSmall(message)) return MessageContent.streamed(place.name, message, pieces(place, message))
    const chunks = yield* Stream.runCollect(pieces(place, message))
    return MessageContent.content(place.name, message, Buffer.concat(chunks))
  })

  return {
    expect: (place, messages) => {
      for (const message of messages) expected.set(idOf(place, message.uid), { place, message })
      for (const oldest of expected.keys()) {
        if (expected.size <= maxRemembered) break
        expected.delete(oldest)
      }
    },
    download: Effect.fnUntraced(function* (place, uid) {
      const id = idOf(place, uid)
      const known = expected.get(id)
      if (!reading.has(id) && known !== undefined && isSmall(known.message)) {
        const taken = takeTogether(id, place)
        for (const [other] of taken) reading.set(other, Deferred.makeUnsafe())
        yield* Effect.forkIn(readTogether(place, taken), scope)
      }
      const together = reading.get(id)
      const read = together === undefined ? Option.none() : yield* Deferred.await(together)
      forget(id)
      if (Option.isNone(read)) return yield* readAlone(place, uid)
      return MessageContent.content(place.name, read.value.message, read.value.body)
    })
  }
})
