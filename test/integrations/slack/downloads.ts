/** A workspace with one channel for the tests of downloads, and the reasons of failed downloads. */
import * as Effect from "effect/Effect"
import type { AnySession } from "../../../src/contract/Integration.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { bodyOf } from "../../support/slack/Model.ts"

export const setup = Effect.gen(function* () {
  const server = yield* SlackServer.make()
  return { server, slack: server.workspace, general: server.workspace.addChannel("general") }
})

export const reasonOf = (session: AnySession, externalId: string) =>
  session.download({ externalId }).pipe(
    Effect.flatMap(bodyOf),
    Effect.flip,
    Effect.map((error) => error.reason._tag)
  )

export const bytes = (text: string) => new TextEncoder().encode(text)
