/** The dashboard shows states in words, and can be used with the keyboard and with screen readers. */
import { assert } from "@effect/vitest"
import * as GmailServer from "../support/GmailServer.ts"
import * as Browser from "./Browser.ts"
import { connectEmpty, connectionId, open, replaceStatus, scenario, syncNow, type Tests } from "./Steps.ts"

export const states = (it: Tests): void => {
  it.effect("says what a pause means, and what the next step is", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn()
      await open(dashboard, page, "mail")
      await page.getByRole("button", { name: "Pause" }).click()
      await page.getByText("Polling is paused").waitFor()
      await page.getByText("Nothing is lost: it goes on where it was").waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
      const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "mail", exact: true }) })
      const nextStep = row.getByRole("link", { name: "paused: the next step" })
      await page.goto(`${dashboard.idem.url}/#/`)
      await row.getByText("by a person").waitFor()
      await row.getByText("nothing", { exact: true }).waitFor()
      // The person who paused the connection needs no advice.
      assert.strictEqual(await nextStep.count(), 0)
      await open(dashboard, page, "mail")
      await page.getByRole("button", { name: "Resume" }).first().click()
      await page.getByText("Polling is paused").waitFor({ state: "hidden" })
      dashboard.gmail.revoke()
      await syncNow(page)
      await page.getByText("Polling is paused").waitFor()
      await page.goto(`${dashboard.idem.url}/#/`)
      await nextStep.click()
      await page.getByRole("link", { name: "Give new credentials" }).click()
      dashboard.gmail.allow("another")
      await page.getByRole("radio", { name: "An access token", exact: true }).check()
      await page.getByRole("textbox", { name: "Access token", exact: true }).fill("another")
      await page.getByRole("button", { name: "Replace the credentials" }).click()
      await page.getByText("Saved. The source was reached with it.").waitFor()
      await page.getByText("Polling is paused").waitFor({ state: "hidden" })
    })
  )

  it.effect("keeps what it shows while the server is away, says so, and goes on when it is back", () =>
    scenario(async ({ idem, signedIn }) => {
      const { page } = await signedIn()
      await page.getByRole("link", { name: "mail", exact: true }).waitFor()
      await idem.stop()
      await page.getByText("The server does not answer").waitFor()
      await page.getByRole("link", { name: "mail", exact: true }).waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
      // The button could already be gone if it were pressed after the server is back, because the page also retries by
      // itself.
      const tried = page.waitForRequest(`${idem.url}/**`)
      await page.getByRole("button", { name: "Try now" }).click()
      await tried
      await page.getByText("The server does not answer").waitFor()
      await idem.start()
      await page.getByText("The server does not answer").waitFor({ state: "hidden" })
      await page.getByRole("link", { name: "mail", exact: true }).waitFor()
    })
  )

  it.effect("says on the home page when a source was last checked, and what needs a person", () =>
    scenario(async (dashboard) => {
      const { api, gmail, signedIn } = dashboard
      for (const id of ["unreadable", `unreadable-${"with-a-long-id".repeat(4)}`]) gmail.mailbox.add({ id })
      gmail.fault("messages.get", GmailServer.status(403, "forbidden", { message: "no delegation".repeat(20) }), {
        times: 1000,
        when: ({ id }) => id?.startsWith("unreadable") === true
      })
      for (const id of gmail.mailbox.ids.filter((each) => !/hostile|refused|unreadable/.test(each)).slice(0, 150)) {
        gmail.mailbox.remove(id)
      }
      const { page } = await signedIn()
      await open(dashboard, page, "mail")
      await syncNow(page)
      await page.getByText("150 deletions held back for you").waitFor()
      await page.getByRole("link", { name: "Failed: 2", exact: true }).waitFor()
      await page.goto(`${dashboard.idem.url}/#/`)
      const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "mail", exact: true }) })
      await row.getByRole("link", { name: "150 deletions to approve" }).waitFor()
      await page.getByText(/^\d connections, 1 needs you$/).waitFor()
      // Another poll may come in between. Then the page shows that poll, after it has refreshed.
      const shown = () => row.locator('[data-label="Last check"] > time').getAttribute("datetime")
      while ((await shown()) !== (await api("GET", "/connections/mail"))["lastCheckedAt"]);
      // Items that are retried automatically need no person.
      assert.strictEqual(await row.locator('[data-label="Needs you"] li').count(), 1)
    })
  )

  it.effect("has no serious fault by axe on any page in both themes, fits each width, and keeps to its policy", () =>
    scenario(async (dashboard) => {
      const { errors, page } = await dashboard.signedIn()
      const ref = await connectionId(dashboard, "mail")
      const pages = [
        "/",
        "/connect",
        "/connect?domain=gmail",
        "/connect?domain=ftp",
        "/connect?domain=slack",
        "/sign-in-failed?message=no",
        "/nowhere",
        "/search?q=report",
        "/search?q=nowhere",
        "/webhooks",
        ...["", "/contents", "/runs", "/ledger", "/deletions", "/settings", "/content?id=hostile"].map(
          (rest) => `/connections/${ref}${rest}`
        )
      ]
      for (const at of pages) {
        await page.goto(`${dashboard.idem.url}/#${at}`)
        await page.getByRole("heading", { level: 1 }).waitFor()
        await page.locator(".loading").waitFor({ state: "detached" })
        assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [], at)
      }
      assert.deepStrictEqual(errors, [])
    })
  )

  it.effect(
    "can be used by keyboard alone: the first stop leads to the content, and a page that opens has the focus",
    () =>
      scenario(async (dashboard) => {
        const { page } = await dashboard.signedIn()
        await page.reload()
        await page.getByRole("link", { name: "mail", exact: true }).waitFor()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        const focused = () => page.evaluate("document.activeElement.textContent")
        await page.locator("h1:focus").waitFor()
        assert.strictEqual(await focused(), "Connections")
        await page.getByRole("link", { name: "mail", exact: true }).focus()
        await page.keyboard.press("Enter")
        await page.getByRole("heading", { name: "mail", level: 1 }).waitFor()
        await page.locator("h1:focus").waitFor()
        assert.strictEqual(await focused(), "mail")
      })
  )

  it.effect("saves another address only together with credentials for it", () =>
    scenario(async (dashboard) => {
      const { api, gmail, signedIn } = dashboard
      const accessToken = await connectEmpty(dashboard, "moving")
      const rootUrl = async () => ((await api("GET", "/connections/moving"))["config"] as { rootUrl: string }).rootUrl
      const { page } = await signedIn()
      await open(dashboard, page, "moving", "/settings")
      const whole = page.getByLabel("Save the settings above with them")
      await page.getByLabel("Polled every").fill("never")
      await page.getByRole("button", { name: "Save", exact: true }).click()
      await page.getByRole("alert").waitFor()
      assert.strictEqual(await whole.count(), 0)
      await page.getByLabel("Polled every").fill("7 minutes")
      const trapped = dashboard.trap.asked.length
      await page.getByLabel("Another server").fill(dashboard.trap.url)
      await page.getByRole("button", { name: "Save", exact: true }).click()
      await page
        .getByRole("alert")
        .getByText(/rootUrl of "moving" says where its credentials are sent/)
        .waitFor()
      assert.isTrue(await whole.isChecked())
      // The URL was mistyped: the credentials are for the URL that the form shows now.
      await page.getByLabel("Another server").fill(`${gmail.url}/`)
      assert.strictEqual(await rootUrl(), gmail.url)
      await page.getByRole("radio", { name: "An access token", exact: true }).check()
      await page.getByRole("textbox", { name: "Access token", exact: true }).fill(accessToken)
      await page.getByRole("button", { name: "Replace the credentials" }).click()
      await page.getByText("Saved. The source was reached with it.").waitFor()
      assert.strictEqual(await rootUrl(), `${gmail.url}/`)
      assert.strictEqual(dashboard.trap.asked.length, trapped)
      assert.strictEqual((await api("GET", "/connections/moving"))["every"], "7 minutes")
      assert.strictEqual(await whole.count(), 0)
    })
  )

  it.effect("keeps what is typed into a filter while the page is updated", () =>
    scenario(async (dashboard) => {
      await connectEmpty(dashboard, "typing")
      const { context, page } = await dashboard.signedIn()
      let isTyped = false
      await replaceStatus(context, await connectionId(dashboard, "typing"), () =>
        isTyped ? { account: "updated@example.com" } : {}
      )
      await open(dashboard, page, "typing", "/contents")
      await page.getByLabel("Kind").focus()
      await page.keyboard.type("mess")
      isTyped = true
      await page.getByText("updated@example.com").waitFor()
      assert.strictEqual(await page.getByLabel("Kind").inputValue(), "mess")
      await page.keyboard.type("age")
      await page.keyboard.press("Enter")
      await page.waitForURL(/kind=message/)
      await page.goBack()

      const typed = Promise.withResolvers<void>()
      await context.route(/\/search\?/, async (route) => {
        await typed.promise
        await route.continue()
      })
      await page.goto(`${dashboard.idem.url}/#/search?q=nothing-of-this-word`)
      await page.getByLabel("Sender").focus()
      await page.keyboard.type("an")
      typed.resolve()
      await page.getByText("Nothing found").waitFor()
      assert.strictEqual(await page.getByLabel("Sender").inputValue(), "an")
    })
  )

  it.effect("says that a paused connection runs a sync that a person asks for", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn()
      await dashboard.api("POST", "/connections/typing/pause")
      await open(dashboard, page, "typing")
      await page.getByRole("button", { name: "Sync…" }).click()
      await page.getByText("The connection is paused. This sync runs all the same").waitFor()
      await page.getByRole("button", { name: "Sync now" }).click()
      await page.getByRole("dialog").waitFor({ state: "hidden" })
      await page.goto(`${dashboard.idem.url}/#/connections/${await connectionId(dashboard, "typing")}/runs`)
      await page.locator(".run-outcome").getByText("nothing new").waitFor()
      // The run's row is written before its lease is released.
      let { state } = await dashboard.api("GET", "/connections/typing")
      while (state === "running") ({ state } = await dashboard.api("GET", "/connections/typing"))
      assert.strictEqual(state, "paused")
    })
  )

  it.effect("has its navigation on one line of a phone", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn({ width: 390 })
      const lines = await page.evaluate(
        `new Set([...document.querySelectorAll(".top nav > *")]
          .map((each) => Math.round(each.getBoundingClientRect().bottom / 8))).size`
      )
      assert.strictEqual(lines, 1)
    })
  )

  it.effect("deletes what is stored only once the connection's name was typed", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn()
      await open(dashboard, page, "signed in", "/settings")
      await page.getByRole("button", { name: "Delete the connection and what is stored…" }).click()
      const confirm = page.getByRole("button", { name: "Delete for good" })
      await page.getByLabel(/^Type the connection's name/).fill("signed")
      assert.isTrue(await confirm.isDisabled())
      await page.getByLabel(/^Type the connection's name/).fill("signed in")
      await confirm.click()
      await page.getByRole("heading", { name: "Connections", level: 1 }).waitFor()
      const { connections } = await dashboard.api("GET", "/connections")
      const names = (connections as ReadonlyArray<{ readonly name: string }>).map(({ name }) => name)
      assert.notInclude(names, "signed in")
      assert.include(names, "mail")
    })
  )

  it.effect("says on the connection's page until when the source asked to wait", () =>
    scenario(async (dashboard) => {
      const { context, page } = await dashboard.signedIn()
      const asked = { askedToWaitUntil: "2099-01-01T00:00:00Z" }
      await replaceStatus(context, await connectionId(dashboard, "mail"), () => asked)
      await open(dashboard, page, "mail")
      await page.getByText("The source asked Idem to wait").waitFor()
      await page.locator('.notice time[datetime="2099-01-01T00:00:00Z"]').waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
    })
  )
}
