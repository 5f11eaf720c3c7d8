/** The source for the laws of integrations: a GitHub on loopback. */
import * as Effect from "effect/Effect"
import type * as Conformance from "@idem-sync/idem/testing"
import * as GitHubServer from "../support/GitHubServer.ts"
import { github } from "./GitHub.ts"

const quota = { unitsPerMinute: 1_000_000_000 }

export const scripted = Effect.map(GitHubServer.make, (server): Conformance.ScriptedSource => {
  let added = 0
  /** Adds an issue, and then alternately comments: two comments for each issue. */
  const add = () => {
    const index = added++
    if (index % 3 === 0) return `issues/${server.add()}`
    const number = Math.max(...server.issues.keys())
    server.comment(number, 5000 + index, `Comment ${index}`)
    return `comments/${number}/${5000 + index}`
  }
  const change = (externalId: string, body: string | undefined) => {
    const [kind, number, id] = externalId.split("/")
    if (kind === "comments") server.comment(Number(number), Number(id), body)
    else server.edit(Number(number), { body: body ?? null })
  }
  return {
    integration: github,
    config: { repository: "o/r", url: server.url, quota },
    credentials: { token: "t0ken" },
    usesChecker: true,
    add: (count) => Effect.sync(() => Array.from({ length: count }, add)),
    ids: Effect.sync(() => [
      ...[...server.issues.keys()].map((number) => `issues/${number}`),
      ...[...server.comments].flatMap(([number, all]) => [...all.keys()].map((id) => `comments/${number}/${id}`))
    ]),
    // The edit may be in the same second as the addition.
    edit: (externalId) => Effect.sync(() => change(externalId, "edited")),
    // GitHub does not report deleted issues. The fifth and the ninth added item are comments.
    remove: (externalId) => Effect.sync(() => change(externalId, undefined)),
    repeat: Effect.sync(() => {
      server.repeats = true
    }),
    requests: Effect.sync(() => server.log.length),
    open: Effect.sync(() => server.open)
  }
})
