/** Encodes the checkpoints of a listing's pages as JSON, and decodes the stored ones, by an integration's schemas. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Definition } from "./Definition.ts"
import { CheckpointExpired, IntegrationError } from "./IntegrationError.ts"
import type { Page } from "./Page.ts"
import type { PartMove, Parts } from "./Parts.ts"
import * as SessionValues from "./SessionValues.ts"

const expired = (what: string) => (error: Schema.SchemaError) =>
  new IntegrationError({
    reason: new CheckpointExpired({ message: `${what} can't be read: ${error.message}` })
  })

export const make = <Checkpoint, Part>({
  domain,
  ...schemas
}: Pick<Definition<never, never, Checkpoint, Part>, "domain" | "checkpoint" | "part">) => {
  const checkpoint = Schema.toCodecJson(schemas.checkpoint)
  const decodeCheckpoint = Schema.decodeUnknownEffect(checkpoint)
  const encodeCheckpoint = Schema.encodeEffect(checkpoint)
  const part = Schema.toCodecJson<Schema.Codec<Part, unknown>>(schemas.part ?? Schema.Never)
  const decodePart = Schema.decodeUnknownEffect(part)
  const encodePart = Schema.encodeEffect(part)

  const encodeMove = ({ checkpoint: value, key }: PartMove<Part>) =>
    value === null
      ? Effect.succeed({ key, checkpoint: null })
      : Effect.map(encodePart(value), (encoded) => ({ key, checkpoint: encoded }))

  const badPage = (index: number, problem: string) =>
    SessionValues.malformed(`${domain}, page ${index + 1}: ${problem}`)
  const misfit = (index: number, what: string) => (error: Schema.SchemaError) =>
    badPage(index, `the ${what} does not fit its schema: ${error.message}`)

  return {
    /** Returns true if a stored checkpoint still decodes. */
    readsCheckpoint: (json: Schema.Json) => Effect.isSuccess(decodeCheckpoint(json)),
    checkpoint: (json: Option.Option<Schema.Json>) =>
      Effect.forEach(Option.toArray(json), (value) => decodeCheckpoint(value)).pipe(
        Effect.mapError(expired("the stored checkpoint")),
        Effect.map(([decoded]) => Option.fromUndefinedOr(decoded))
      ),
    /** Decodes the parts' checkpoints on each read. */
    parts: (json: Parts<Schema.Json>): Parts<Part> => ({
      hinted: json.hinted,
      get: (keys) =>
        Effect.flatMap(json.get(keys), (found) =>
          Effect.map(
            Effect.forEach(found, ([key, value]) =>
              Effect.map(decodePart(value), (decoded) => [key, decoded] as const)
            ),
            (entries) => new Map(entries)
          ).pipe(Effect.mapError(expired("a stored part")))
        )
    }),
    /** Encodes the page with this index. */
    page: (page: Page<Checkpoint, Part>, index: number) => {
      const problem = SessionValues.pageProblem(page)
      if (problem !== undefined) return Effect.fail(badPage(index, problem))
      return Effect.all([
        Effect.mapError(encodeCheckpoint(page.checkpoint), misfit(index, "checkpoint")),
        Effect.forEach(page.parts ?? [], (move) =>
          Effect.mapError(encodeMove(move), misfit(index, `part ${JSON.stringify(move.key)}`))
        )
      ]).pipe(Effect.map(([checkpoint, moves]) => ({ ...page, checkpoint, parts: moves })))
    }
  }
}
