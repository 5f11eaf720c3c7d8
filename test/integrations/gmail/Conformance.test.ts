import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as GmailServer from "../../support/GmailServer.ts"

/** Every other message is starred, so that a narrower scope is not empty. */
const scripted = Effect.map(GmailServer.make(), (server): Conformance.ScriptedSource => {
  const { mailbox } = server
  const config = { rootUrl: server.url, quota: { unitsPerMinute: 1e9 } }
  const failing = new Set<string>()
  server.fault(
    "messages.get",
    { _tag: "Change", change: (text) => text.slice(0, text.length / 2) },
    { times: Number.POSITIVE_INFINITY, when: ({ id }) => id !== undefined && failing.has(id) }
  )
  return {
    integration,
    config,
    credentials: { accessToken: "token" },
    usesChecker: true,
    add: (count) =>
      Effect.sync(() =>
        mailbox.fill(count, (index) => ({ labelIds: index % 2 === 0 ? ["INBOX", "STARRED"] : ["INBOX"] }))
      ),
    ids: Effect.sync(() => mailbox.ids),
    remove: (id) => Effect.sync(() => mailbox.remove(id)),
    fail: (id, fails) => Effect.sync(() => void (fails ? failing.add(id) : failing.delete(id))),
    expire: Effect.sync(() => mailbox.expireHistory()),
    repeat: Effect.sync(() => server.repeatOnce(mailbox.ids.slice(0, 3))),
    narrowed: {
      config: { ...config, labelIds: ["STARRED"] },
      keeps: (id) => mailbox.get(id)?.labelIds.has("STARRED") ?? false
    }
  }
})

describe.concurrent("Gmail", () => {
  // Messages do not change under one id, and each request has its own connection.
  for (const law of Conformance.laws(scripted, { without: ["edit", "open"] })) it.live(law.name, () => law.check)
})
