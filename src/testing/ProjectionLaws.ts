/** The law of projections: they are pure and total, and their rows fit their tables. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { none, type ProjectedContent, rowCheck } from "../contract/Projection.ts"
import { begin, succeed } from "./ChangeLaws.ts"
import { type Draft, expect } from "./Law.ts"

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))

/** Returns variants of a content, without the fields that a source may leave out. */
const variants = (content: ProjectedContent): ReadonlyArray<ProjectedContent> => [
  content,
  { ...content, title: null, occurredAt: null, mediaType: null },
  { ...content, json: undefined },
  { ...content, json: null, metadata: {} },
  { ...content, kind: "a kind that is new", json: [1, { text: 2 }] },
  // Metadata of another form, as an older version of the integration may have stored it.
  { ...content, metadata: Object.fromEntries(Object.keys(content.metadata).map((name) => [name, 7])) }
]

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "the projection gives the same rows for the same content, for any content, and rows that fit their tables",
    remedy: "Make `project` a pure function that reads nothing else, takes what is absent for null, and never throws",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      const projection = source.integration.projection ?? none
      const check = rowCheck(projection.tables)
      yield* source.add(12)
      const { process, store } = yield* begin(source)
      yield* succeed(process)
      const connection = yield* Effect.orDie(store.connections)
      for (const { id } of connection) {
        const { contents } = yield* Effect.orDie(store.contents(id, { state: "stored", limit: 100 }))
        for (const row of contents) {
          const kind = row.kind ?? ""
          const readsJson = projection.readsJson?.({ kind, mediaType: row.mediaType }) ?? false
          const body = row.hash === null ? [] : yield* Effect.orDie(Stream.runCollect(store.body(row.hash)))
          const content: ProjectedContent = {
            externalId: row.externalId,
            kind,
            title: row.title,
            occurredAt: row.occurredAt,
            mediaType: row.mediaType,
            metadata: row.metadata,
            size: row.size,
            sha256: row.hash ?? "",
            json: readsJson ? Option.getOrUndefined(decodeJson(Buffer.concat(body).toString())) : undefined
          }
          for (const variant of variants(content)) {
            const project = Effect.try({
              try: () => projection.project(variant),
              catch: (cause) => `the projection of ${JSON.stringify(row.externalId)} throws: ${String(cause)}`
            })
            const found = yield* project
            const problem = check(found)
            yield* expect(problem === undefined, `${JSON.stringify(row.externalId)}: ${problem}`)
            const again = yield* project
            yield* expect(
              JSON.stringify(found) === JSON.stringify(again),
              `the projection of ${JSON.stringify(row.externalId)} gives other rows the second time`
            )
          }
        }
      }
    })
  }
]
