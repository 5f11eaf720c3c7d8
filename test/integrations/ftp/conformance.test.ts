/**
 * The laws of integrations, by content and by revision. The integration's checkpoints never expire, and a folder lists
 * each name once.
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { integration } from "../../../src/integrations/Ftp.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"

const mlst = ["MLST", "SIZE", "MDTM"]
const without = ["expire", "repeat"] as const

const scripted = (compare: "content" | "revision", features: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const files = new Map<string, StandIn.File>()
    const failing = new Set<string>()
    const standIn = yield* StandIn.run({
      files,
      features,
      script: (command, argument) =>
        command === "RETR" && failing.has(argument.slice(1)) ? "451 the disk failed" : undefined
    })
    let seconds = 1_700_000_000
    const put = (path: string) => {
      seconds += 1
      const modified = new Date(seconds * 1000).toISOString().slice(0, 19).replace(/[-:T]/g, "")
      files.set(path, { bytes: Buffer.from(`${path} at ${modified}`), modified })
    }
    const config = { ...standIn.source.config, compare }
    let added = 0
    return {
      integration,
      config,
      credentials: standIn.source.credentials,
      usesChecker: compare === "revision",
      add: (count) =>
        Effect.sync(() =>
          Array.from({ length: count }, () => {
            const path = `folder ${added % 3}/${added % 2 === 0 ? "even/" : ""}file ${added}`
            added += 1
            put(path)
            return path
          })
        ),
      ids: Effect.sync(() => [...files.keys()]),
      edit: (id) => Effect.sync(() => put(id)),
      remove: (id) => Effect.sync(() => void files.delete(id)),
      fail: (id, fails) => Effect.sync(() => void (fails ? failing.add(id) : failing.delete(id))),
      narrowed: { config: { ...config, include: ["folder 1/**"] }, keeps: (id) => id.startsWith("folder 1/") },
      open: standIn.open
    } satisfies Conformance.ScriptedSource
  })

describe.concurrent("FTP keeps the laws of integrations by revision", () => {
  for (const law of Conformance.laws(scripted("revision", mlst), { without })) it.live(law.name, () => law.check)
})

// The walk, its pages and its checkpoint are the same for all servers and comparisons. These laws depend on the form of
// the listing, or on the comparison.
const isOfListing = /^(a sync stores|what is added|an edit|what the source|`covers`|the checker|a task.s window)/
for (const [name, compare, features] of [
  ["by content", "content", mlst],
  ["by revision, with LIST only", "revision", ["SIZE", "MDTM"]]
] as const) {
  describe.concurrent(`FTP keeps the laws of listings ${name}`, () => {
    for (const law of Conformance.laws(scripted(compare, features), { without })) {
      if (isOfListing.test(law.name)) it.live(law.name, () => law.check)
    }
  })
}
