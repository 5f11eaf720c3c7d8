/** The source that the laws of integrations script: a GitHub on loopback. */
import * as Effect from "effect/Effect"
import type * as Conformance from "@idem-sync/idem/testing"
import * as GitHubServer from "../support/GitHubServer.ts"
import { github } from "./GitHub.ts"

const quota = { unitsPerMinute: 1_000_000_000 }
const id = (number: number) => `issues/${number}`
const numberOf = (externalId: string) => Number(externalId.split("/")[1])

export const scripted = Effect.map(GitHubServer.make, (server): Conformance.ScriptedSource => ({
  integration: github,
  config: { repository: "o/r", url: server.url, quota },
  credentials: { token: "t0ken" },
  usesChecker: true,
  add: (count) => Effect.sync(() => Array.from({ length: count }, () => id(server.add()))),
  ids: Effect.sync(() => [...server.issues.keys()].map(id)),
  // Within the second in which it was added, maybe.
  edit: (externalId) => Effect.sync(() => server.edit(numberOf(externalId), { body: "edited" })),
  repeat: Effect.sync(() => {
    server.repeats = true
  }),
  requests: Effect.sync(() => server.log.length),
  open: Effect.sync(() => server.open)
}))
