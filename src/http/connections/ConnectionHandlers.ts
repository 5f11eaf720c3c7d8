/** Answers about connections, from `Control`. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Redacted from "effect/Redacted"
import { Control } from "../../engine/Control.ts"
import { CommandApi } from "../CommandApi.ts"
import * as KeepAlive from "../KeepAlive.ts"
import type { Connected } from "./ConnectionEndpoints.ts"
import { asProblem } from "../Problems.ts"

type ConnectedBy = Effect.Success<ReturnType<Control["Service"]["connect"]>>

const connected = ({ connection, created, estimate, firstSync }: ConnectedBy): Connected => ({
  connection,
  created,
  items: estimate.items ?? null,
  unitsPerItem: estimate.unitsPerItem,
  firstSyncMs: firstSync === undefined ? null : Math.round(Duration.toMillis(firstSync))
})

export const layer = HttpApiBuilder.group(
  CommandApi,
  "connections",
  Effect.fn(function* (handlers) {
    const control = yield* Control
    return handlers.handleAll({
      list: () => asProblem(Effect.map(control.connections, (connections) => ({ connections }))),

      create: ({ payload }) =>
        control
          .connect({
            domain: payload.domain,
            name: payload.name,
            config: payload.config ?? {},
            credentials: payload.credentials === undefined ? {} : Redacted.value(payload.credentials),
            every: payload.every,
            mode: "create"
          })
          .pipe(Effect.map(connected), asProblem),

      get: ({ params }) => asProblem(control.status(params.connection)),

      change: Effect.fnUntraced(function* ({ params, payload }) {
        const { domain, name } = yield* control.connection(params.connection)
        return connected(
          yield* control.connect({
            domain,
            name,
            config: payload.config,
            credentials: payload.credentials === undefined ? undefined : Redacted.value(payload.credentials),
            every: payload.every,
            mode: "update"
          })
        )
      }, asProblem),

      remove: ({ params, query, request }) =>
        control
          .disconnect(params.connection, { deleteContents: query.deleteContents ?? false })
          .pipe(KeepAlive.during(request), asProblem),

      pause: ({ params }) => asProblem(control.pause(params.connection)),

      resume: ({ params }) => asProblem(control.resume(params.connection)),

      deletions: ({ params, query }) =>
        control.deletions(params.connection, query.limit).pipe(
          Effect.map((deletions) => ({ deletions })),
          asProblem
        ),

      approveDeletions: ({ params, request }) =>
        control.approveDeletions(params.connection).pipe(
          Effect.map((deleted) => ({ deleted })),
          KeepAlive.during(request),
          asProblem
        ),

      ledger: ({ params, query }) =>
        control.ledger(params.connection, query.limit).pipe(
          Effect.map((ledger) => ({ ledger })),
          asProblem
        ),

      redrive: ({ params, payload }) =>
        asProblem(control.submit(params.connection, { _tag: "retry", externalIds: payload?.externalIds ?? [] }, {})),

      purge: ({ params, payload, request }) =>
        control.purge(params.connection, payload.before).pipe(KeepAlive.during(request), asProblem)
    })
  })
)
