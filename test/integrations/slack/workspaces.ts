/** A workspace of a few conversations, at a fixed time, and an assertion that it is mirrored. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected, mirrored, Model } from "../../support/slack/Model.ts"

export const days = (count: number) => count * 86_400

export const now = 1_700_000_000

export const at = (secondsAgo: number) => `${now - secondsAgo}.000100`

export const same = (model: Model, server: SlackServer.SlackServer) =>
  assert.deepStrictEqual(
    [...mirrored(model)].sort(([a], [b]) => (a < b ? -1 : 1)),
    [...expected(server)].sort(([a], [b]) => (a < b ? -1 : 1))
  )

/** Makes three conversations; one has threads, and is long enough for several responses. */
export const workspace = Effect.fnUntraced(function* (messages = 450) {
  const server = yield* SlackServer.make({ now })
  const { workspace } = server
  const [general, secret, direct] = [
    workspace.addChannel("general"),
    workspace.addChannel("secret", "private_channel"),
    workspace.addChannel("bob", "im")
  ]
  for (let index = 0; index < messages; index++) {
    const ts = workspace.post(general, `message ${index}`, { ts: at(days(100) - index * 60) })
    if (index % 10 === 0)
      for (let reply = 0; reply <= index % 3; reply++) workspace.post(general, `reply ${reply}`, { thread: ts })
  }
  for (let index = 0; index < 20; index++) workspace.post(secret, `secret ${index}`)
  workspace.post(direct, "hello")
  return { server, general, secret, direct, model: new Model() }
})
