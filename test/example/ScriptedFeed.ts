/** The source that the laws of integrations script: a feed on loopback. */
import * as Effect from "effect/Effect"
import type * as Conformance from "@idem-sync/idem/testing"
import * as FeedServer from "../support/FeedServer.ts"
import { rss } from "./Rss.ts"

/** A feed of this format, as the laws want a source. */
export const scripted = (path: string) =>
  Effect.map(FeedServer.make, (feed): Conformance.ScriptedSource => {
    const config = (address: string) => ({ url: feed.address(address), quota: { unitsPerMinute: 1_000_000_000 } })
    return {
      integration: rss,
      config: config(path),
      credentials: {},
      usesChecker: true,
      add: (count) =>
        Effect.sync(() => {
          const from = feed.entries.size
          const ids = Array.from({ length: count }, (_, index) => `${index % 2 === 0 ? "a" : "b"}/${from + index}`)
          for (const id of ids) feed.add(id)
          return ids
        }),
      ids: Effect.sync(() => [...feed.entries.keys()]),
      edit: (id) => Effect.sync(() => feed.add(id, "<p>an edit, under the same date</p>")),
      expire: Effect.sync(() => feed.expire()),
      repeat: Effect.sync(() => {
        feed.repeats = true
      }),
      narrowed: { config: config(`${path}?in=a`), keeps: (id) => id.startsWith("a") },
      requests: Effect.sync(() => feed.requests),
      open: Effect.sync(() => feed.open)
    }
  })
