/** REST sources over a server of notes, one for each kind of paging, and their listings. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"

const Note = Schema.Struct({
  id: Schema.String,
  version: Schema.Int,
  text: Schema.optionalKey(Schema.String),
  trashed: Schema.optionalKey(Schema.Boolean)
})
const Answer = Schema.Struct({ results: Schema.Array(Schema.Unknown), next: Schema.NullOr(Schema.String) })
const Config = Schema.Struct({ url: Schema.String, in: Schema.optionalKey(Schema.String) })

export const described = {
  kind: "note",
  path: "v1/notes",
  answer: Answer,
  items: ({ results }: typeof Answer.Type) => results,
  item: Note,
  id: ({ id }: typeof Note.Type) => id,
  itemPath: (id: string) => `v1/notes/${id}`,
  revision: ({ version }: typeof Note.Type) => String(version),
  isDeleted: ({ trashed }: typeof Note.Type) => trashed === true,
  content: ({ id, text }: typeof Note.Type) => ({ title: id, body: text ?? { path: `v1/notes/${id}/text` } })
}

export const cursor = { type: "cursor", param: "cursor", next: ({ next }: typeof Answer.Type) => next } as const

export const source = (resource: (query: Record<string, string>) => Idem.RestResource) =>
  Idem.rest({
    domain: "notes",
    config: Config,
    scope: ["in"],
    address: ["url"],
    quota: () => ({ unitsPerMinute: 1_000_000_000 }),
    baseUrl: ({ url }) => url,
    auth: { type: "header", name: "X-Api-Key" },
    resources: (config) => ({ notes: resource(config.in === undefined ? {} : { in: config.in }) })
  })

export const byCursor = source((query) =>
  Idem.restResource({ ...described, query, paging: cursor, absentIsDeleted: true })
)
const conditional = { ...described, paging: cursor, absentIsDeleted: true, isConditional: true } as const
export const byTag = source((query) => Idem.restResource({ ...conditional, query }))
export const byPage = source(() => Idem.restResource({ ...described, paging: { type: "page", param: "page" } }))

export const open = (integration: Idem.Integration.Integration, url: string, key = "k3y") =>
  integration.open({
    config: { url },
    credentials: { key },
    call: (_method, _units, request) => request,
    saveCredentials: () => Effect.void
  })

type Place = Option.Option<Schema.Json>

export const list = (
  integration: Idem.Integration.Integration,
  url: string,
  place: Place = Option.none(),
  key?: string
) =>
  Effect.gen(function* () {
    const session = yield* open(integration, url, key)
    return yield* Stream.runCollect(session.list(Idem.poll, place, Idem.noParts))
  }).pipe(Effect.scoped, Effect.provide(Idem.ContentExistenceChecker.layerTest([])))

export const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => (error instanceof Idem.IntegrationError ? error.reason : undefined))
