/** The laws of integrations for feeds, in each format. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FeedReader from "../../../src/integrations/rss/FeedReader.ts"
import { integration } from "../../../src/integrations/Rss.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as FeedServer from "../../support/FeedServer.ts"

const scripted = (path: string, kind: "all" | "complete" | "paged" | "archived" = "all") =>
  Effect.map(FeedServer.make, (feed): Conformance.ScriptedSource => {
    feed.kind = kind
    const config = (address: string) => ({ url: feed.address(address), quota: { unitsPerMinute: 1_000_000_000 } })
    return {
      integration,
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
      remove: (id) => Effect.sync(() => feed.remove(id)),
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

// The reader's threads stay warm for all laws, as for all connections of a process.
layer(FeedReader.layer, { excludeTestServices: true })((it) => {
  for (const path of ["/rss", "/rdf", "/atom", "/json"]) {
    // A feed does not report removed items, and lists items inline.
    const all = Conformance.laws(scripted(path), { without: ["remove", "fail"] })
    // The formats differ only in how they are parsed.
    const laws = path === "/rss" ? all : all.filter(({ name }) => /stores everything|an edit is|projection/.test(name))
    for (const law of laws) it.effect(`${path}: ${law.name}`, () => law.check)
  }

  // RFC 5005: a complete feed reports removed items. Pages and archives are walked.
  for (const [kind, paths, without] of [
    ["complete", ["/rss", "/atom"], ["fail"]],
    ["paged", ["/rss", "/atom", "/json"], ["remove", "fail", "narrowed"]],
    ["archived", ["/rss", "/atom"], ["remove", "fail", "narrowed"]]
  ] as const) {
    for (const path of paths) {
      const all = Conformance.laws(scripted(path, kind), { without })
      const laws = path === "/rss" ? all : all.filter(({ name }) => /stores everything|removes/.test(name))
      for (const law of laws) it.effect(`${path}, ${kind}: ${law.name}`, () => law.check)
    }
  }
})
