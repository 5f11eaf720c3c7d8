import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { open } from "../../support/slack/Model.ts"
import { same, workspace } from "./workspaces.ts"

describe("complete passes", () => {
  it.live("find an edited reply, a late reply and a deletion where no visit looks, a few calls a poll", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(700)
      const session = yield* open(server, { sweepEvery: "1 millis", lookback: "1 days" })
      yield* model.run(session)
      const [thread = "", replies = []] = Array.from(server.workspace.channel(general).threads)[0] ?? []
      const [another = ""] = Array.from(server.workspace.channel(general).threads.keys()).slice(2)
      server.workspace.edit(general, replies[0]?.ts ?? "", "edited reply")
      server.workspace.post(general, "late", { thread })
      server.workspace.post(general, "late too", { thread: another })
      server.workspace.delete(general, server.workspace.channel(general).parents[5]?.ts ?? "")
      server.workspace.delete(general, another)
      for (let index = 0; index < 12; index++) {
        server.forget()
        yield* model.run(session)
        // A round, the budget of passes over suspects with its largest overrun by a step, and a pass over the history.
        assert.isAtMost(server.count(), 4 + 100 + 8 + 4)
      }
      same(model, server)
    })
  )

  it.live("never cover a conversation in which something could not be read", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(60)
      const session = yield* open(server, { sweepEvery: "1 millis" })
      yield* model.run(session)
      const plain = server.workspace.channel(general).parents[33]?.ts ?? ""
      server.workspace.delete(general, plain)
      server.fail("conversations.replies", { error: "thread_not_found" })
      const { deleted } = yield* model.run(session)
      assert.deepStrictEqual(deleted, [])
      for (let index = 0; index < 3; index++) yield* model.run(session)
      same(model, server)
    })
  )
})
