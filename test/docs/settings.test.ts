import { assert, it } from "vitest"
import { settingNames } from "../../src/IdemOptions.ts"
import { pages } from "./Pages.ts"

it("the page of settings and the settings that a program may set are the same", () => {
  const page = pages.find(({ path }) => path === "docs/configuration.md")
  const named = Array.from(page?.text.matchAll(/`([A-Z][A-Z0-9_]{3,})\b/g) ?? [], ([, name = ""]) => name)
  // These are the settings of Node, and those whose names have a pattern.
  const others = /^(NODE_|OTEL_)|_CLIENT_(ID|SECRET)$/
  assert.sameMembers([...new Set(named.filter((name) => !others.test(name)))], [...settingNames])
})
