/**
 * The laws of integrations, on the stand-in. The integration's checkpoints never expire, and Slack lists each message
 * once.
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Slack from "../../../src/integrations/Slack.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected } from "../../support/slack/Model.ts"

const scripted = Effect.gen(function* () {
  const server = yield* SlackServer.make()
  const slack = server.workspace
  server.maxLimit = 25
  const channels = [slack.addChannel("one"), slack.addChannel("two", "private_channel")]
  const file = slack.addFile("notes.txt", new TextEncoder().encode("the notes"))
  const config = { slackApiUrl: server.url, quota: { unitsPerMinute: 1_000_000_000 } }
  let added = 0
  const split = (id: string) => {
    const [channel = "", ts = ""] = id.split("/")
    return [channel, ts] as const
  }
  return {
    integration: Slack.integration,
    config,
    credentials: { token: server.token },
    usesChecker: true,
    // Every eleventh message is a reply to the message before it; the first has a file.
    add: (count) =>
      Effect.sync(() => {
        let parent: string | undefined
        return Array.from({ length: count }, () => {
          const channel = channels[Math.floor(added / 11) % 2] ?? ""
          const thread = added % 11 === 10 ? parent : undefined
          const ts = slack.post(channel, `message ${added}`, {
            ...(thread === undefined ? {} : { thread }),
            files: added === 0 ? [file] : []
          })
          added += 1
          parent = ts
          return `${channel}/${ts}`
        })
      }),
    ids: Effect.sync(() => [
      ...expected(server).keys(),
      ...channels.map((id) => `channels/${id}`),
      ...Array.from(slack.users.keys(), (id) => `users/${id}`),
      ...(added === 0 ? [] : [`files/${file}`])
    ]),
    edit: (id) => Effect.sync(() => slack.edit(...split(id), `edited ${slack.now}`)),
    remove: (id) => Effect.sync(() => slack.delete(...split(id))),
    fail: (_, failing) =>
      Effect.sync(() => {
        server.heal()
        if (failing) server.fail("files.info", ...Array.from({ length: 20 }, () => ({ error: "something_new" })))
      }),
    failable: Effect.succeed(`files/${file}`),
    narrowed: { config: { ...config, channels: ["one"] }, keeps: (id) => id.startsWith(`${channels[0]}/`) }
  } satisfies Conformance.ScriptedSource
})

describe("Slack keeps the laws of integrations", () => {
  for (const law of Conformance.laws(scripted, { without: ["expire", "repeat", "open"] })) {
    it.live(law.name, () => law.check)
  }
})
