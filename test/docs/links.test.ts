/** Every link of the documentation has an existing target. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { repository } from "../support/IdemProcess.ts"
import { anchorsOf, linksOf, type Page, pages } from "./Pages.ts"

const brokenIn = (page: Page): ReadonlyArray<string> =>
  linksOf(page).filter((link) => {
    if (/^(https?|mailto):/.test(link) || link.startsWith("<")) return false
    const [file = "", anchor] = link.split("#")
    const path = file === "" ? page.path : Path.normalize(Path.join(Path.dirname(page.path), file))
    if (!Fs.existsSync(Path.join(repository, path))) return true
    if (anchor === undefined) return false
    const target = pages.find((one) => one.path === path)
    return target === undefined || !anchorsOf(target).has(anchor)
  })

describe("the documentation", () => {
  for (const page of pages) {
    it(`has no broken link in ${page.path}`, () => {
      assert.deepStrictEqual(brokenIn(page), [])
    })
  }

  it("has every page of docs in README's list", () => {
    const readme = pages.find((page) => page.path === "README.md")
    const linked = new Set(readme === undefined ? [] : linksOf(readme).map((link) => link.split("#")[0]))
    assert.deepStrictEqual(
      pages.filter((page) => page.path.startsWith("docs/") && !linked.has(page.path)).map((page) => page.path),
      []
    )
  })
})
