import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { poll } from "../../../src/contract/SyncTask.ts"
import { Model, open } from "../../support/slack/Model.ts"
import { days, now, at, same, workspace } from "./workspaces.ts"

describe("a task", () => {
  it.live("with a window lists what lies in it, replies too, and leaves the next poll its threads", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const { workspace: slack } = server
      const before = slack.post(general, "before", { ts: at(days(20)) })
      const first = slack.post(general, "at since", { ts: `${now - days(10)}.000000` })
      slack.post(general, "at until", { ts: `${now - days(5)}.000000` })
      const inside = slack.post(general, "in the window, of an older thread", { ts: at(days(9)), thread: before })
      const reply = slack.post(general, "in the window", { ts: at(days(8)), thread: first })
      slack.post(general, "after the window", { ts: at(days(4)), thread: first })
      const date = (ago: number) => DateTime.makeUnsafe((now - ago) * 1000)
      const session = yield* open(server)
      yield* model.run(session, { task: { ...poll, window: { since: date(days(10)), until: date(days(5)) } } })
      assert.deepStrictEqual(model.ids(), [first, inside, reply].map((ts) => `${general}/${ts}`).sort())
      yield* model.run(session)
      same(model, server)
    })
  )

  it.live("with only a beginning lists all since, also where Slack counts from the oldest message", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      server.maxLimit = 50
      server.isNearestFirst = true
      const since = (index: number) => `${now - days(10) + index}.000000`
      for (let index = 0; index < 120; index++) server.workspace.post(general, "since", { ts: since(index) })
      const window = { since: DateTime.makeUnsafe((now - days(10)) * 1000) }
      yield* model.run(yield* open(server), { task: { ...poll, window } })
      assert.strictEqual(model.ids(`${general}/`).length, 120)
    })
  )

  it.live("with force lists everything again, resumes by its own checkpoint, and leaves the live one alone", () =>
    Effect.gen(function* () {
      const { model, server } = yield* workspace(500)
      const session = yield* open(server)
      yield* model.run(session)
      const live = JSON.stringify(model.checkpoint)
      const task = { ...poll, force: true }
      const part = yield* model.run(session, { task, pages: 4 })
      const rest = yield* model.run(session, { task, checkpoint: "own" })
      const ids = new Set([...part.unchanged, ...rest.unchanged])
      assert.deepStrictEqual([...ids].sort(), model.ids())
      assert.strictEqual(JSON.stringify(model.checkpoint), live)
    })
  )

  it.live("takes conversations by id or name and by type, and names those that are not there", () =>
    Effect.gen(function* () {
      const { direct, general, model, secret, server } = yield* workspace(3)
      const { problems } = yield* model.run(yield* open(server, { channels: ["#general", secret, "nowhere"] }))
      assert.deepStrictEqual(problems, [
        { place: "nowhere", message: "no such conversation among those that the token may list" }
      ])
      assert.isAbove(model.ids(`${general}/`).length, 0)
      assert.strictEqual(model.ids(`${secret}/`).length, 20)
      assert.deepStrictEqual(model.ids(`${direct}/`), [])
      const other = new Model()
      yield* other.run(yield* open(server, { types: ["im"] }))
      assert.deepStrictEqual(other.ids("channels/"), [`channels/${direct}`])
    })
  )
})
