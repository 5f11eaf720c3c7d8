/** A mirrored workspace, and polls for its hints. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { hintsOf } from "../../../src/integrations/slack/Events.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { callbackOf as callback } from "../../support/slack/SocketMode.ts"
import { expected, mirrored, Model, open } from "../../support/slack/Model.ts"

export const now = 1_700_000_000

export const hinted = (parts: ReadonlyArray<string>, options: { only?: boolean; isListening?: boolean } = {}) => ({
  hinted: { parts, only: true, isListening: true, ...options }
})

/** A synced workspace, with the hints of the events since. `old` is older than the messages that a visit reads. */
export const synced = Effect.gen(function* () {
  yield* TestClock.setTime(now * 1000)
  const server = yield* SlackServer.make({ now: now - 10_000 })
  const { workspace } = server
  const [busy, quiet] = [workspace.addChannel("busy"), workspace.addChannel("quiet", "private_channel")]
  const old = workspace.post(busy, "old", { ts: `${now - 90 * 86_400}.000100` })
  const reply = workspace.post(busy, "old reply", { ts: `${now - 89 * 86_400}.000100`, thread: old })
  workspace.post(busy, "old reply, too", { ts: `${now - 88 * 86_400}.000100`, thread: old })
  for (let index = 0; index < 300; index++) workspace.post(busy, `message ${index}`)
  const plain = workspace.post(quiet, "plain")
  const model = new Model()
  const session = yield* open(server)
  yield* model.run(session)
  yield* model.run(session)
  const parts = new Set<string>()
  workspace.onEvent = (event) => {
    for (const { part } of hintsOf(callback(event))) if (part !== undefined) parts.add(part)
  }
  server.forget()
  const poll = (options: { only?: boolean; isListening?: boolean } = {}) =>
    Effect.suspend(() => {
      const given = [...parts]
      parts.clear()
      return model.run(session, hinted(given, options))
    })
  const isMirrored = () => assert.deepStrictEqual([...mirrored(model)].sort(), [...expected(server)].sort())
  return { busy, quiet, old, reply, plain, model, session, server, workspace, parts, poll, isMirrored }
})
