/**
 * The formats in which `idem export` writes a connection's stored contents. Bodies are streamed; rows are read in
 * pages.
 */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Connection } from "../../http/connections/ConnectionDocuments.ts"
import * as Documents from "../../http/contents/ContentDocuments.ts"
import { ApiClient } from "../../http/client/ApiClient.ts"
import type { Failure } from "../CommandFailure.ts"
import { type Body, bodyOf, type ReadError, unlessCut, unlessPurged } from "./Bodies.ts"
import type { Folder } from "./Folder.ts"
import * as Mbox from "./Mbox.ts"
import * as Names from "./Names.ts"

export const formats = ["eml", "mbox", "ndjson", "files"] as const
type Format = (typeof formats)[number]

/** Returns the default format of a source: mail formats for mail, files for files. */
export const standardFormat = (domain: string): Format =>
  domain === "gmail" || domain === "imap" ? "eml" : domain === "ftp" ? "files" : "ndjson"

/**
 * `skipped` counts contents that the format can't represent: everything except emails, for `eml` and `mbox`. `gone`
 * counts contents that were deleted and purged during the export.
 */
interface Exported {
  readonly written: number
  readonly skipped: number
  readonly gone: number
  readonly bytes: number
}

type ReadStream<A = Uint8Array> = Stream.Stream<A, ReadError>
type Write = Effect.Effect<Exported, ReadError | Failure, ApiClient>

const pageSize = 200
/** How many bodies are read at once: through a server each of them costs a round trip. */
const concurrency = 8
/** In a file with all contents, bodies up to this size are read before their turn: at most some megabytes in all. */
const readAhead = 256 * 1024
/** In `ndjson`, a UTF-8 body up to this size is one text; a larger one is streamed as base64. */
const largestText = 4 * 1024 * 1024

const rowsOf = (connection: Connection): Stream.Stream<Documents.Content, ReadError, ApiClient> =>
  Stream.unwrap(
    Effect.map(ApiClient, (api) =>
      Stream.paginate(undefined as string | undefined, (after) =>
        Effect.map(
          api.contents.listInFull({
            params: { connection: connection.id },
            query: { state: "stored", order: "id", limit: pageSize, ...(after === undefined ? {} : { after }) }
          }),
          (page) => [page.contents, Option.fromNullOr(page.next)] as const
        )
      )
    )
  )

/**
 * Returns true for an email, by the media type. Without a media type, messages of any source count as emails, and so
 * does all content of a mail source.
 */
const isMail = ({ domain }: Connection, { kind, mediaType }: Documents.Content): boolean =>
  mediaType === null ? kind === "message" || standardFormat(domain) === "eml" : mediaType.startsWith("message/rfc822")

/** Writes one file for each content. */
const writeEach = Effect.fnUntraced(function* (
  connection: Connection,
  folder: Folder,
  rows: Stream.Stream<Documents.Content, ReadError, ApiClient>,
  pathOf: (row: Documents.Content) => Effect.Effect<ReadonlyArray<string> | undefined, ReadError, ApiClient>
) {
  const cases = folder.ignoresCase ? new Names.Cases() : undefined
  let written = 0
  let skipped = 0
  let gone = 0
  let bytes = 0
  yield* rows.pipe(
    // In order, so that on a disk that ignores case the same id keeps the plain name in every export.
    Stream.mapEffect((row) =>
      Effect.map(pathOf(row), (path) => ({ row, path: path === undefined ? undefined : (cases?.place(path) ?? path) }))
    ),
    Stream.mapEffect(
      ({ path, row }) =>
        path === undefined
          ? Effect.sync(() => void skipped++)
          : Effect.flatMap(
              bodyOf(connection, row),
              Option.match({
                onNone: () => Effect.sync(() => void gone++),
                onSome: (found) =>
                  folder.write(path, found.bytes, row.occurredAt ?? undefined).pipe(
                    unlessPurged(connection, row),
                    Effect.map((size) => {
                      if (Option.isNone(size)) return void gone++
                      written++
                      bytes += size.value
                    })
                  )
              })
            ),
      { concurrency, unordered: true }
    ),
    Stream.runDrain
  )
  return { written, skipped, gone, bytes }
})

/** Writes one file with all contents. */
const writeAll = Effect.fnUntraced(function* (
  connection: Connection,
  folder: Folder,
  name: string,
  rows: Stream.Stream<Documents.Content, ReadError, ApiClient>,
  lineOf: (row: Documents.Content) => ((body: Body) => ReadStream) | undefined
) {
  let written = 0
  let skipped = 0
  let gone = 0
  const bytes = yield* folder.write(
    [name],
    rows.pipe(
      Stream.mapEffect(
        Effect.fnUntraced(function* (row) {
          const line = lineOf(row)
          if (line === undefined) {
            skipped++
            return Stream.empty
          }
          const whole = Effect.map(bodyOf(connection, row), Option.map(line))
          const counted = <A>(found: Option.Option<ReadStream<A>>): ReadStream<A> => {
            if (Option.isSome(found)) written++
            else gone++
            return Option.getOrElse(found, () => Stream.empty)
          }
          if (row.size > readAhead) return unlessCut(connection, row)(Stream.unwrap(Effect.map(whole, counted)))
          const read = yield* whole.pipe(
            Effect.flatMap((found) => Effect.transposeOption(Option.map(found, Stream.runCollect))),
            unlessPurged(connection, row)
          )
          return counted(Option.map(Option.flatten(read), Stream.fromIterable))
        }),
        { concurrency }
      ),
      Stream.flatten()
    )
  )
  return { written, skipped, gone, bytes }
})

const encoder = new TextEncoder()
// The decoder keeps a byte order mark, so that the text equals the body.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))

const base64 = <E, R>(body: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    body,
    () => new Uint8Array(),
    (left, chunk) => {
      const all = concat([left, chunk])
      const whole = all.length - (all.length % 3)
      return [all.slice(whole), [encoder.encode(Base64.encode(all.subarray(0, whole)))]]
    },
    { onHalt: (left) => [encoder.encode(Base64.encode(left))] }
  )

const encode = Schema.encodeSync(Documents.Content)

/** Returns the line of a content: its fields, then `bodyEncoding` (`utf8` or `base64`) and `body`. */
const ndjsonOf = (row: Documents.Content, body: Body["bytes"]): Stream.Stream<Uint8Array, ReadError> => {
  const head = JSON.stringify(encode(row)).slice(0, -1)
  const line = (encoding: string) => encoder.encode(`${head},"bodyEncoding":"${encoding}","body":`)
  const inQuotes = <E, R>(encoded: Stream.Stream<Uint8Array, E, R>) =>
    Stream.succeed(encoder.encode('"')).pipe(
      Stream.concat(encoded),
      Stream.concat(Stream.succeed(encoder.encode('"}\n')))
    )
  if (row.size > largestText) return Stream.concat(Stream.succeed(line("base64")), inQuotes(base64(body)))
  return Stream.unwrap(
    Effect.map(Stream.runCollect(body), (chunks) => {
      const bytes = concat(chunks)
      const text = textOf(bytes)
      return text === undefined
        ? Stream.concat(Stream.succeed(line("base64")), inQuotes(Stream.succeed(encoder.encode(Base64.encode(bytes)))))
        : Stream.make(line("utf8"), encoder.encode(`${JSON.stringify(text)}}\n`))
    })
  )
}

/** Returns which folders of a path are themselves contents. Caches the last results. */
const shadowing = (connection: Connection) => {
  const known = new Map<string, boolean>()
  return Effect.fnUntraced(function* (externalId: string) {
    const { contents } = yield* ApiClient
    if (known.size >= 1000) known.clear()
    for (const folder of Names.foldersOf(externalId)) {
      if (folder === "" || known.has(folder)) continue
      const isStored = yield* contents
        .get({ params: { connection: connection.id }, query: { externalId: folder } })
        .pipe(
          Effect.map(({ state }) => state === "stored"),
          Effect.catchTag("NotFoundProblem", () => Effect.succeed(false))
        )
      known.set(folder, isStored)
    }
    return Names.encodePath(externalId, (folder) => known.get(folder) === true)
  })
}

/** Writes the connection's stored contents into the folder. */
export const write = (connection: Connection, folder: Folder, format: Format): Write => {
  const rows = rowsOf(connection)
  const name = Names.encodeSegment(connection.name)
  switch (format) {
    case "eml":
      return writeEach(connection, folder, rows, (row) =>
        Effect.succeed(isMail(connection, row) ? [`${Names.encodeSegment(row.externalId)}.eml`] : undefined)
      )
    case "files": {
      const pathOf = shadowing(connection)
      return writeEach(connection, folder, rows, (row) => pathOf(row.externalId))
    }
    case "mbox":
      return writeAll(connection, folder, `${name}.mbox`, rows, (row) =>
        isMail(connection, row) ? ({ bytes }) => Mbox.message(bytes, row.occurredAt ?? row.createdAt) : undefined
      )
    case "ndjson":
      // The hash and size in the line belong to its body, even if a run has stored another one since the row was read.
      return writeAll(
        connection,
        folder,
        `${name}.ndjson`,
        rows,
        (row) =>
          ({ bytes, hash, size }) =>
            ndjsonOf({ ...row, hash, size }, bytes)
      )
  }
}
