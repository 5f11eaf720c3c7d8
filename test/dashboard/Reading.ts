/** Finding and reading stored content, whatever it contains. */
import { assert } from "@effect/vitest"
import * as Browser from "./Browser.ts"
import * as Hostile from "./Hostile.ts"
import { quota } from "./ServerAndBrowser.ts"
import { connectionId, open, replaceStatus, scenario, type Tests } from "./Steps.ts"

export const reading = (it: Tests): void => {
  it.effect("finds what is stored by its title, and pages through the rest", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn()
      await open(dashboard, page, "mail", "/contents")
      await page.getByText("50 shown.").waitFor()
      await page.getByRole("button", { name: "Show more" }).click()
      await page.getByText("100 shown.").waitFor()
      await page.getByLabel("Text in the title").fill("report 7")
      await page.keyboard.press("Enter")
      await page.getByText("11 shown, that is all.").waitFor()
      await page.locator('[data-label="From"]').first().getByText(/\S/).waitFor()
      await page.getByLabel("State").selectOption("deleted")
      await page.getByText("Nothing fits").waitFor()
    })
  )

  it.effect("searches from any page by /, and marks what it found as text", () =>
    scenario(async (dashboard) => {
      // The server indexes content shortly after storing it.
      let found: unknown
      while (!Array.isArray(found) || found.length === 0) {
        found = (await dashboard.api("GET", "/search?q=plain"))["results"]
      }
      const { errors, page } = await dashboard.signedIn()
      await open(dashboard, page, "mail", "/runs")
      await page.keyboard.press("/")
      await page.keyboard.type("plain")
      await page.keyboard.press("Enter")
      await page.getByRole("heading", { name: "Search: plain", level: 1 }).waitFor()
      await page.locator(".result mark").getByText("plain", { exact: true }).first().waitFor()
      await page.locator(".snippet").getByText("The plain text. <script>").waitFor()
      await page.getByText("1 shown, that is all.").waitFor()
      assert.strictEqual(await page.locator("main script, main svg, main img, main .snippet *:not(mark)").count(), 0)
      await page.getByLabel("Sender").fill("nobody")
      await page.keyboard.press("Enter")
      await page.getByText("Nothing found").waitFor()
      await page.goBack()
      assert.deepStrictEqual(errors, [])
    })
  )

  it.effect("shows an email that tries everything, and nothing of it runs, loads or breaks out", () =>
    scenario(async (dashboard) => {
      const { context, errors, asked, page } = await dashboard.signedIn()
      await open(dashboard, page, "mail", "/content?id=hostile")
      const address = page.url()
      const frame = page.frameLocator("iframe")
      await frame.getByText("Readable text stays.").waitFor()
      await frame.getByRole("img", { name: "inside" }).waitFor()
      assert.strictEqual(await page.locator("iframe").getAttribute("sandbox"), "allow-same-origin")
      for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 900 })
        const isOwnHeight = `(() => {
            const root = document.querySelector("iframe")?.contentDocument?.documentElement
            if (root === undefined || root === null) return false
            const { clientHeight, scrollHeight } = root
            return scrollHeight <= clientHeight && clientHeight < root.getBoundingClientRect().height + 40
          })()`
        await Browser.until(page, isOwnHeight)
      }
      await page.getByText(/\d+ pictures and styles from elsewhere were left out/).waitFor()
      // The title is shown as text everywhere.
      await page.getByRole("heading", { name: Hostile.markup(dashboard.trap.url), level: 2, exact: true }).waitFor()
      assert.strictEqual(await page.locator("main script, main svg, main img").count(), 0)

      for (const text of [
        "a javascript link",
        "another",
        "a link out of the frame",
        "https://your-bank.example",
        "data",
        "over all"
      ]) {
        await frame.getByText(text, { exact: true }).first().click()
      }
      await page.getByRole("button", { name: "Show as plain text" }).click()
      await frame.getByText("The plain text. <script>").waitFor()
      await page.getByText("2 links in this email").click()
      const link = page.getByRole("link", { name: `${dashboard.trap.url}/named` })
      assert.strictEqual(await link.getAttribute("rel"), "noopener noreferrer")
      assert.deepStrictEqual(await Browser.faults(page), [])
      await page.getByRole("link", { name: /^Contents/ }).click()
      await page.getByRole("link", { name: Hostile.markup(dashboard.trap.url), exact: true }).waitFor()
      await page.goBack()
      await frame.getByText("Readable text stays.").waitFor()

      // Each page and part of the content separately, as the whole window.
      const ref = await connectionId(dashboard, "mail")
      for (const part of ["email?externalId=hostile", "email?externalId=hostile&as=text"]) {
        await page.goto(`${dashboard.idem.url}/connections/${ref}/content/${part}`)
        await page.locator("body").waitFor()
      }
      const parts = [
        "body?externalId=hostile",
        "email/part?externalId=hostile&part=1",
        "email/part?externalId=hostile&part=2"
      ]
      for (const part of parts) {
        const downloading = page.waitForEvent("download")
        await page.goto(`${dashboard.idem.url}/connections/${ref}/content/${part}`).catch(() => undefined)
        await (await downloading).cancel()
      }
      await page.goto(address)
      await frame.getByText("Readable text stays.").waitFor()

      assert.strictEqual(await page.evaluate("String(globalThis.owned)"), "undefined")
      assert.strictEqual(context.pages().length, 1)
      assert.strictEqual(page.url(), address)
      const elsewhere = asked.filter((url) => !url.startsWith(`${dashboard.idem.url}/`) && !url.startsWith("data:"))
      assert.deepStrictEqual(elsewhere, [])
      assert.deepStrictEqual(dashboard.trap.asked, [])
      assert.deepStrictEqual(errors, [])

      // Without protection the same HTML reaches the trap, which proves that the trap works.
      const unprotected = await Browser.open(dashboard.chromium)
      const sprung = unprotected.page.waitForRequest(`${dashboard.trap.url}/script`)
      await unprotected.page.setContent(Hostile.html(dashboard.trap.url)).catch(() => undefined)
      await sprung
      await unprotected.context.close()
      dashboard.trap.asked.length = 0
    })
  )

  it.effect("an email's frame runs and loads nothing, even of HTML that nobody has sanitized", () =>
    scenario(async (dashboard) => {
      const { context, page } = await dashboard.signedIn()
      await context.route("**/content/email?**", async (route) => {
        const response = await route.fetch()
        await route.fulfill({ response, body: Hostile.html(dashboard.trap.url) })
      })
      await open(dashboard, page, "mail", "/content?id=hostile")
      const address = page.url()
      const frame = page.frameLocator("iframe")
      await frame.getByText("Readable text stays.").waitFor()
      for (const text of ["a javascript link", "another", "a link out of the frame", "https://your-bank.example"]) {
        await frame.getByText(text, { exact: true }).first().click({ force: true })
      }
      await page.getByText(/\d+ pictures and styles from elsewhere were left out/).waitFor()
      assert.strictEqual(await page.evaluate("String(globalThis.owned)"), "undefined")
      assert.strictEqual(page.url(), address)
      assert.strictEqual(context.pages().length, 1)
      assert.deepStrictEqual(dashboard.trap.asked, [])
    })
  )

  it.effect("plots begin where there is data, and show the quota's limit as a line", () =>
    scenario(async (dashboard) => {
      const { context, page } = await dashboard.signedIn()
      const ref = await connectionId(dashboard, "mail")
      const hourOf = (index: number) => new Date(Date.UTC(2026, 0, 31) + index * 3_600_000).toISOString()
      await replaceStatus(context, ref, () => ({ unitsPerMinute: 250 }))
      await context.route(`**/connections/${ref}/statistics**`, async (route) => {
        const response = await route.fetch()
        const { hours } = (await response.json()) as { readonly hours: ReadonlyArray<object> }
        const none = {
          runs: 0,
          stored: 0,
          updated: 0,
          unchanged: 0,
          failed: 0,
          deleted: 0,
          apiCalls: 0,
          quotaUnits: 0
        }
        const json = hours.map((_, index) => {
          // The only hour with a run is 100 hours ago.
          const isBusy = hours.length - index === 100
          return { ...none, hour: hourOf(index), ...(isBusy ? { runs: 1, stored: 7, quotaUnits: 9000 } : {}) }
        })
        await route.fulfill({ response, json: { hours: json } })
      })
      await open(dashboard, page, "mail")
      await page.getByRole("img", { name: /^Items per hour, 100 hours: Stored 7,/ }).waitFor()
      const span = page.getByRole("region", { name: "By the hour" }).getByRole("combobox")
      assert.strictEqual(await span.inputValue(), "168")
      await page.getByRole("img", { name: /^Quota units per hour.*the limit is 15,000 an hour$/ }).waitFor()
      await span.selectOption("48 hours")
      await page.getByText("No run in this time").waitFor()
    })
  )

  it.effect("shows names, messages and files as the text that they are", () =>
    scenario(async (dashboard) => {
      const { slack } = dashboard
      const markup = Hostile.markup(dashboard.trap.url)
      const name = `<img src=x onerror="globalThis.owned=1">`
      const channel = slack.workspace.addChannel("general")
      const parent = slack.workspace.post(channel, `${markup}\nof two lines`)
      slack.workspace.post(channel, `a reply ${markup}`, { thread: parent })
      await dashboard.api("POST", "/connections", {
        domain: "slack",
        name,
        config: { slackApiUrl: slack.url, quota },
        credentials: { token: slack.token }
      })
      const { errors, page } = await dashboard.signedIn()
      await page.getByRole("link", { name, exact: true }).click()
      await page.getByRole("heading", { name, level: 1, exact: true }).waitFor()
      await page.getByRole("link", { name: /^Contents/ }).click()
      await page.getByLabel("Text in the title").fill("a reply")
      await page.keyboard.press("Enter")
      await page.getByText("1 shown, that is all.").waitFor()
      await page.getByRole("link", { name: `a reply ${markup}`, exact: true }).click()
      await page.locator(".message-text").getByText(`a reply ${markup}`, { exact: true }).waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
      // The thread links to the message to which this one replies.
      await page.getByRole("link", { name: "its beginning" }).click()
      await page.locator('.thread > li[aria-current="true"]').getByText("of two lines").waitFor()
      assert.strictEqual(await page.evaluate("String(globalThis.owned)"), "undefined")
      assert.deepStrictEqual(dashboard.trap.asked, [])
      assert.deepStrictEqual(errors, [])
    })
  )
}
