/** Applies an integration's projection to a content, and makes the rows storable. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  isoOf,
  none,
  type ProjectedContent,
  type Projection,
  type Row,
  rowCheck,
  type Table,
  type Text,
  type Value
} from "../contract/Projection.ts"
import type { Change } from "../engine/model/Change.ts"
import type { ContentRow } from "../engine/model/Content.ts"
import { BodyAbsent, BodyStore } from "../engine/store/BodyStore.ts"
import type { StoreError } from "../engine/store/StoreError.ts"
import * as Storable from "../stores/Storable.ts"
import { content as contentTable } from "./MirrorTables.ts"

/**
 * The largest body, in bytes, that is read for a projection. A larger body is treated as one that can't be read as
 * JSON.
 */
const longestBody = 25_000_000

/** The most characters of a text from a projection. */
const longestText = 1_000_000

/** The most rows of one content in each table. */
const mostRows = 5000

/** The rows and texts that are derived from one change. */
export interface Derived {
  readonly change: Change
  readonly rows: ReadonlyArray<{ readonly table: string; readonly row: Row }>
  readonly text: Text | undefined
}

const storableValue = (value: Value): Value =>
  typeof value === "string"
    ? Storable.text(value)
    : typeof value === "object" && value !== null
      ? value.map(Storable.text)
      : value

/** The most bytes of an indexed text: PostgreSQL refuses index rows above 2,704 bytes, other columns included. */
const longestIndexed = 2000

const indexable = (value: Value): Value =>
  typeof value === "string" && value.length * 3 > longestIndexed && Buffer.byteLength(value) > longestIndexed
    ? Buffer.from(value)
        .subarray(0, longestIndexed)
        .toString()
        .replace(/\uFFFD+$/, "")
    : value

/** Returns a function that makes the values of rows storable in these tables. */
const storableRows = (tables: ReadonlyArray<Table>) => {
  const indexed = new Map(tables.map(({ indexes = [], key = [], name }) => [name, new Set([...indexes, ...key])]))
  return (table: string, row: Row): Row =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => {
        const stored = storableValue(value)
        return [name, indexed.get(table)?.has(name) === true ? indexable(stored) : stored]
      })
    )
}

/** Returns the time if its year has four digits, which the columns require, else null. */
const withFourDigits = (at: DateTime.Utc | null): DateTime.Utc | null =>
  at !== null && /^\d{4}-/.test(DateTime.formatIso(at)) ? at : null

const contentRow = (domain: string, { content }: Change): { readonly table: string; readonly row: Row } => ({
  table: contentTable.name,
  row: {
    source: domain,
    kind: content.kind,
    state: content.state,
    title: content.title,
    occurred_at: isoOf(withFourDigits(content.occurredAt)),
    media_type: content.mediaType,
    size: content.size,
    sha256: content.hash,
    stored_at: isoOf(content.createdAt),
    updated_at: isoOf(content.updatedAt),
    deleted_at: content.state === "deleted" ? isoOf(content.updatedAt) : null
  }
})

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))

/**
 * Returns the whole body; undefined if it was purged meanwhile, or its file is missing. Fails if it can't be read now.
 */
const bytesOf = (hash: string) =>
  BodyStore.use((bodies) => Stream.runCollect(bodies.body(hash))).pipe(
    Effect.map((chunks) => Buffer.concat(chunks)),
    Effect.catchIf(
      (error) => error instanceof BodyAbsent,
      (error) => Effect.as(Effect.logWarning(error.message), undefined)
    )
  )

/** Returns the body as JSON, if the projection reads it. */
const readJson = Effect.fnUntraced(function* ({ readsJson }: Projection, content: ContentRow) {
  const isRead = readsJson?.({ kind: content.kind ?? "", mediaType: content.mediaType }) ?? false
  if (!isRead || content.hash === null || content.size > longestBody) return undefined
  const body = yield* bytesOf(content.hash)
  return body === undefined ? undefined : Option.getOrUndefined(decodeJson(body.toString()))
})

/**
 * Makes a projector for these projections. If a projection fails, the failure is logged and its content gets no rows
 * from it.
 */
export const make = (projections: ReadonlyMap<string, Projection>) => {
  const projectors = new Map(
    Array.from(projections, ([domain, projection]) => [
      domain,
      {
        projection,
        check: rowCheck(projection.tables),
        storableRow: storableRows(projection.tables),
        keepingDeleted: new Set(
          projection.tables.flatMap(({ keepsDeleted, name }) => (keepsDeleted === true ? [name] : []))
        )
      }
    ])
  )
  const withoutProjection = {
    projection: none,
    check: rowCheck([]),
    storableRow: storableRows([]),
    keepingDeleted: new Set<string>()
  }

  return Effect.fnUntraced(function* (
    domain: string,
    change: Change
  ): Effect.fn.Return<Derived, StoreError, BodyStore> {
    const { content } = change
    const own = contentRow(domain, change)
    const isDeleted = content.state === "deleted"
    const { check, keepingDeleted, projection, storableRow } = projectors.get(domain) ?? withoutProjection
    // A purged content has no rows: the purge has removed them, and a rebuild does not create them.
    if (content.hash === null) return { change, rows: [], text: undefined }
    if (isDeleted && keepingDeleted.size === 0) return { change, rows: [own], text: undefined }
    const input: ProjectedContent = {
      externalId: content.externalId,
      kind: content.kind ?? "",
      title: content.title,
      occurredAt: withFourDigits(content.occurredAt),
      mediaType: content.mediaType,
      metadata: content.metadata,
      size: content.size,
      sha256: content.hash,
      json: yield* readJson(projection, content)
    }
    const projected = yield* Effect.try({
      try: () => projection.project(input),
      catch: (cause) => `it fails with ${String(cause)}`
    }).pipe(
      Effect.flatMap((found) => {
        const problem = check(found) ?? (found.rows.length > mostRows ? "too many rows" : undefined)
        return problem === undefined ? Effect.succeed(found) : Effect.fail(problem)
      }),
      Effect.catch((problem) =>
        Effect.as(
          Effect.logWarning(`the projection of ${domain} is wrong for ${content.externalId}: ${problem}`),
          none.project(input)
        )
      )
    )
    const rows = projected.rows.filter(({ table }) => !isDeleted || keepingDeleted.has(table))
    const deletedAt = isDeleted ? isoOf(content.updatedAt) : null
    return {
      change,
      rows: [
        own,
        ...rows.map(({ row, table }) => ({
          table,
          row: { ...storableRow(table, row), ...(keepingDeleted.has(table) ? { deleted_at: deletedAt } : {}) }
        }))
      ],
      text: isDeleted && rows.length === 0 ? undefined : storableText(projected.text)
    }
  })
}

const storableText = (text: Text | undefined): Text | undefined => {
  if (text === undefined) return undefined
  if (text._tag === "given") return { ...text, text: Storable.text(text.text.slice(0, longestText)) }
  return { ...text, fileName: text.fileName === null ? null : Storable.text(text.fileName) }
}
