/** Slices of any length come to an end, whatever the threads of a conversation are. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected, mirrored, Model, open } from "../../support/slack/Model.ts"

for (const conversations of [1, 2, 3]) {
  for (const pages of [3, 4, 5, 6, 7]) {
    it.live(
      `a complete pass over long threads ends in slices of ${pages} pages, of ${conversations} conversations`,
      () =>
        Effect.gen(function* () {
          const server = yield* SlackServer.make()
          const slack = server.workspace
          server.maxLimit = 5
          const [first = "", ...others] = Array.from({ length: conversations }, (_, index) =>
            slack.addChannel(`c${index}`)
          )
          for (const other of others) slack.post(other, "alone")
          const parents = Array.from({ length: 3 }, (_, index) => slack.post(first, `parent ${index}`))
          for (const thread of parents)
            for (let reply = 0; reply < 7; reply += 1) slack.post(first, "reply", { thread })
          const alone = slack.post(first, "to be deleted")
          const model = new Model()
          const slice = Effect.gen(function* () {
            const session = yield* open(server, { sweepEvery: "1 millis" })
            return yield* model.run(session, { pages })
          }).pipe(Effect.scoped)
          for (let slices = 0; slices < 60; slices += 1) yield* slice
          slack.delete(first, alone)
          // Only a complete pass proves that something is gone.
          for (let slices = 0; slices < 200 && mirrored(model).size > expected(server).size; slices += 1) yield* slice
          assert.deepStrictEqual(mirrored(model), expected(server))
        }).pipe(Effect.scoped)
    )
  }
}
