/** Answers about what is stored and its changes, from `Control`. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Control } from "../../engine/Control.ts"
import { CommandApi } from "../CommandApi.ts"
import * as BodyResponse from "./BodyResponse.ts"
import { asProblem } from "../Problems.ts"
import { Stopping } from "../ShutdownSignal.ts"

export const layer = HttpApiBuilder.group(
  CommandApi,
  "contents",
  Effect.fn(function* (handlers) {
    const control = yield* Control
    const stopping = yield* Stopping
    return handlers.handleAll({
      list: ({ params, query }) => asProblem(control.contents(params.connection, query)),

      listInFull: ({ params, query }) => asProblem(control.contentsInFull(params.connection, query)),

      get: ({ params, query }) => asProblem(control.content(params.connection, query.externalId)),

      body: Effect.fnUntraced(function* ({ params, query, request }) {
        const body = yield* control.body(params.connection, query.externalId)
        return yield* BodyResponse.answer(request, { title: body.title, externalId: query.externalId }, body)
      }, asProblem),

      changes: ({ query }) => {
        const { wait, ...rest } = query
        const changes = (seconds: number) => control.changes({ ...rest, wait: Duration.seconds(seconds) })
        // A process that stops tells who waits where to go on, instead of nothing.
        return asProblem(
          wait === 0 ? changes(0) : Effect.raceFirst(changes(wait), Effect.andThen(stopping.await, changes(0)))
        )
      }
    })
  })
)
