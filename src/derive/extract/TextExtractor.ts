/**
 * Extracts the text of stored bodies. Files come from outside, so they are read in worker processes with bounds on
 * time, memory and output (`WorkerPool.ts`). A file that can't be read yields a reason instead of a text.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Path from "node:path"
import * as FormatReader from "./FormatReader.ts"
import * as WorkerPool from "../../workers/WorkerPool.ts"

/**
 * The largest body, in bytes, that is read completely. Of a larger one, only the beginning is read, which is enough for
 * plain text.
 */
export const mostBytes = 32_000_000
const mostBytesOfLonger = 2_000_000

export interface Source<E> {
  readonly size: number
  readonly mediaType: string | undefined
  readonly fileName: string | undefined
  /** Streams the body, or its first bytes. */
  readonly bytes: (range: { readonly start: 0; readonly end: number }) => Stream.Stream<Uint8Array, E>
}

/** The text of a file. Only an email has attachments. */
export interface Extracted {
  readonly text: FormatReader.Text
  readonly parts: ReadonlyArray<FormatReader.Part>
}

export class TextExtractor extends Context.Service<
  TextExtractor,
  {
    /** Fails only if the body cannot be fetched. */
    readonly extract: <E>(source: Source<E>) => Effect.Effect<Extracted, E>
  }
>()("idem/derive/extract/TextExtractor") {}

interface Limits {
  readonly longest: Duration.Duration
  readonly megabytes: number
  readonly atOnce: number
}

const defaults: Limits = { longest: Duration.seconds(20), megabytes: 256, atOnce: 1 }

/** After this number of attachments whose worker was ended, the other attachments of the email are not read. */
const mostFailures = 3

// The worker's file has the same extension as this file: .ts in the repository, .js in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

const isFailure = Schema.is(WorkerPool.WorkerFailed)

const explain = ({ message, reason }: WorkerPool.WorkerFailed): FormatReader.Text =>
  FormatReader.withoutText("", reason === "unreadable" ? "damaged" : reason, message)

export const make = Effect.fnUntraced(function* (limits: Limits) {
  const pool = yield* WorkerPool.make<FormatReader.Question, null, FormatReader.Partial>({ program, ...limits })

  const extract = Effect.fn("TextExtractor.extract")(function* <E>({ bytes, fileName, mediaType, size }: Source<E>) {
    const cut = size > mostBytes
    const content = bytes({ start: 0, end: cut ? mostBytesOfLonger : size }).pipe(
      Stream.runCollect,
      Effect.map((chunks) => new Uint8Array(Buffer.concat(chunks)))
    )
    let text: FormatReader.Text | undefined
    let parts: ReadonlyArray<FormatReader.Part> = []
    // The number of parts that were tried.
    let tried = 0
    let room = FormatReader.mostTexts
    const onPartial = (partial: FormatReader.Partial): void => {
      room -= (partial._tag === "text" ? partial.text : partial.part).text?.length ?? 0
      if (partial._tag === "text") {
        text = partial.text
        parts = partial.parts
      } else {
        parts = parts.with(tried, partial.part)
        tried += 1
      }
    }
    for (let failures = 0; failures < mostFailures; failures += 1) {
      const fromPart = tried
      const left = room
      const question = Effect.map(content, (all) => ({ bytes: all, cut, fileName, mediaType, fromPart, room: left }))
      const failure = yield* pool.ask(question, onPartial).pipe(
        Effect.as(undefined),
        Effect.catchIf(isFailure, (error) => Effect.succeed(explain(error)))
      )
      if (failure === undefined) break
      if (text === undefined) return { text: failure, parts } satisfies Extracted
      const culprit = parts[tried]
      if (culprit === undefined) break
      parts = parts.with(tried, { ...culprit, ...failure })
      tried += 1
    }
    const rest = FormatReader.withoutText("", "time", "the attachments before it took too long to read")
    return {
      text: text ?? FormatReader.withoutText("", "damaged", "it cannot be read"),
      parts: parts.map((part, index) => (index < tried ? part : { ...part, ...rest }))
    } satisfies Extracted
  })

  return TextExtractor.of({ extract })
})

/** Starts workers when there is a file to read. */
export const layer: Layer.Layer<TextExtractor> = Layer.effect(TextExtractor, make(defaults))
