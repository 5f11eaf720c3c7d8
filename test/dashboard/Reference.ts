/** The reference of the API, which the dashboard links to. */
import { assert } from "@effect/vitest"
import { scenario, type Tests } from "./Steps.ts"

export const reference = (it: Tests): void => {
  it.effect("shows every endpoint, asks one, and needs nothing that its policy forbids or that is elsewhere", () =>
    scenario(async ({ idem, signedIn }) => {
      const { asked, errors, page } = await signedIn()
      await page.goto(`${idem.url}/reference`)
      const list = page.locator(".opblock-get").filter({ has: page.locator(`[data-path="/connections"]`) })
      await list.locator(".opblock-summary-control").click()
      await page.getByRole("button", { name: "Try it out" }).click()
      await page.getByRole("button", { name: "Execute" }).click()
      await page.locator(".live-responses-table").getByText('"connections": [').waitFor()
      assert.isAbove(await page.locator(".opblock").count(), 30)
      // The page follows the theme, and links back.
      await page.emulateMedia({ colorScheme: "dark" })
      assert.strictEqual(await page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(17, 20, 24)")
      await page.emulateMedia({ colorScheme: "light" })
      assert.strictEqual(await page.getByRole("link", { name: "Back to Idem" }).getAttribute("href"), "/")
      assert.deepStrictEqual(
        asked.filter((address) => !address.startsWith(idem.url) && !address.startsWith("data:")),
        []
      )
      assert.deepStrictEqual(errors, [])
    })
  )
}
