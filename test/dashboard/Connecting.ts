/** Connecting accounts, and a person's decisions about items: the ledger, chosen ids, deletions. */
import { assert } from "@effect/vitest"
import * as GmailServer from "../support/GmailServer.ts"
import * as Provider from "../support/Provider.ts"
import * as Browser from "./Browser.ts"
import { quota, token } from "./ServerAndBrowser.ts"
import { scenario, stored, open, syncNow, type Tests } from "./Steps.ts"

export const connecting = (it: Tests): void => {
  it.effect("asks for the token, says when it is wrong, and says what to do where nothing is connected", () =>
    scenario(async ({ chromium, idem }) => {
      const { context, errors, page } = await Browser.open(chromium)
      await page.goto(`${idem.url}/`)
      await page.getByLabel("Token").fill("not-the-right-token")
      await page.getByRole("button", { name: "Sign in" }).click()
      await page.getByText("the token is wrong").waitFor()
      assert.strictEqual(await page.getByLabel("Token").getAttribute("aria-invalid"), "true")
      assert.deepStrictEqual(await Browser.faults(page), [])
      await page.getByLabel("Token").fill(token)
      await page.getByRole("button", { name: "Sign in" }).click()
      await page.getByText("Nothing is connected yet").waitFor()
      await page.getByText("idem connect gmail --name me").waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
      // The error that the browser logs by itself, because of the wrong token.
      assert.deepStrictEqual(
        errors.filter((error) => !error.includes("401")),
        []
      )
      await context.close()
    })
  )

  it.effect("connects an account by signing in at its provider, and comes back to it", () =>
    scenario(async ({ google, signedIn }) => {
      const { page } = await signedIn()
      await page.getByRole("link", { name: "Connect an account" }).first().click()
      await page.getByRole("link", { name: "Gmail" }).click()
      await page.getByLabel("Name").fill("signed in")
      await page.getByLabel("Client ID").fill(Provider.client.clientId)
      await page.getByLabel("Client secret").fill(Provider.client.clientSecret)
      await page.getByText("Advanced settings").click()
      await page.getByLabel("Another server").fill("nonsense")
      await page.getByRole("button", { name: "Connect at Gmail" }).click()
      // The server's message about a field is shown beside the field.
      await page.locator(".field-error").getByText("must be an http or https URL").waitFor()
      assert.strictEqual(await page.getByLabel("Another server").getAttribute("aria-invalid"), "true")
      await page.getByLabel("Another server").fill(google)
      await page.getByRole("button", { name: "Connect at Gmail" }).click()
      await page.getByRole("button", { name: /me@example\.com/ }).click()
      await page.getByRole("heading", { name: "signed in", level: 1 }).waitFor()
      await stored(page, 1)
      await page.getByRole("link", { name: /^Contents/ }).click()
      await page.getByRole("link", { name: "Hi", exact: true }).waitFor()
    })
  )

  it.effect("connects an account with credentials, and shows its first sync as it goes on", () =>
    scenario(async ({ gmail, hostile, signedIn }) => {
      for (let index = 1; index <= 400; index += 1) gmail.mailbox.add({ subject: `Report ${index}` })
      gmail.mailbox.add({ id: "hostile", raw: hostile, labelIds: ["INBOX"] })
      gmail.mailbox.add({ id: "refused", subject: "Not to be had", labelIds: ["INBOX"] })
      gmail.fault("messages.get", GmailServer.status(403, "forbidden", { message: "no delegation" }), {
        times: 1000,
        when: ({ id }) => id === "refused"
      })
      // The rest is held until the page has shown the progress.
      gmail.holds = ({ method }) => method === "messages.get" && gmail.count("messages.get") > 250
      const { page } = await signedIn()
      await page.getByRole("link", { name: "Connect an account" }).first().click()
      await page.getByRole("link", { name: "Gmail" }).click()
      await page.getByLabel("Name").fill("mail")
      await page.getByText("Give credentials").click()
      await page.getByRole("radio", { name: "An access token", exact: true }).check()
      await page.getByRole("textbox", { name: "Access token", exact: true }).fill("wrong")
      await page.getByText("Advanced settings").click()
      await page.getByLabel("Another server").fill(gmail.url)
      await page.getByLabel("Limits of the source").fill("{")
      await page.getByRole("button", { name: "Connect", exact: true }).click()
      await page.getByText("must be JSON").waitFor()
      await page.getByLabel("Limits of the source").fill(JSON.stringify(quota))
      await page.getByRole("button", { name: "Connect", exact: true }).click()
      await page.getByRole("alert").waitFor()
      await page.getByRole("textbox", { name: "Access token", exact: true }).fill("token")
      await page.getByRole("button", { name: "Connect", exact: true }).click()
      await page.getByText("first@example.com is connected").waitFor()
      await page.getByRole("link", { name: "Watch it" }).click()
      await page.getByRole("heading", { name: "Running now" }).waitFor()
      await page
        .getByRole("status")
        .getByText(/^[12]\d\d of about 40\d items$/)
        .waitFor()
      gmail.release()
      await stored(page, 401)
      await page.getByRole("heading", { name: "Last run" }).waitFor()
      await page.getByRole("img", { name: /Items per hour, 12 hours: Stored 401, .*Failed \d/ }).waitFor()
      await page.getByRole("link", { name: "Failed: 1", exact: true }).waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
    })
  )

  it.effect("shows why an item failed, and stores it when it is tried again", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn()
      // Paused, so that no poll stores the item before a person does.
      await dashboard.api("POST", "/connections/mail/pause")
      await open(dashboard, page, "mail", "/ledger")
      await page
        .getByRole("row", { name: /refused/ })
        .getByText("We may not read it")
        .waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
      dashboard.gmail.heal()
      await page.getByRole("button", { name: "Retry refused" }).click()
      await page.getByText("The ledger is empty").waitFor()
      const { state, title } = await dashboard.api("GET", "/connections/mail/content?externalId=refused")
      assert.deepStrictEqual({ state, title }, { state: "stored", title: "Not to be had" })
      await dashboard.api("POST", "/connections/mail/resume")
    })
  )

  it.effect("downloads chosen ids again, and only those", () =>
    scenario(async (dashboard) => {
      const { page } = await dashboard.signedIn()
      await open(dashboard, page, "mail", "/runs")
      const [first = "", second = ""] = dashboard.gmail.mailbox.ids.filter((id) => id !== "hostile" && id !== "refused")
      dashboard.gmail.forgetSeen()
      await page.getByRole("button", { name: "Sync…" }).click()
      await page.getByLabel("Chosen ids again").check()
      await page.getByLabel("External ids").fill(`${first}\n${second}\n`)
      await page.getByRole("button", { name: "Dry run" }).click()
      await page.getByText("It would download 2").waitFor()
      assert.strictEqual(dashboard.gmail.count("messages.get"), 0)
      assert.deepStrictEqual(await Browser.faults(page), [])
      await page.getByRole("button", { name: "Sync now" }).click()
      await page.getByRole("listitem").filter({ hasText: "2 unchanged" }).waitFor()
      const asked = dashboard.gmail.seen.filter(({ method }) => method === "messages.get").map(({ id }) => id)
      assert.deepStrictEqual(asked.toSorted(), [first, second].toSorted())
      assert.strictEqual(dashboard.gmail.count("messages.list"), 0)
    })
  )

  it.effect("asks before deletions that are held back are applied, and says how many", () =>
    scenario(async (dashboard) => {
      const { mailbox } = dashboard.gmail
      for (const id of mailbox.ids.filter((each) => each !== "hostile").slice(0, 150)) mailbox.remove(id)
      const { page } = await dashboard.signedIn()
      await open(dashboard, page, "mail")
      await syncNow(page)
      await page.getByText("150 deletions held back for you").waitFor()
      await page.getByRole("link", { name: "Look at the deletions" }).click()
      await page.getByLabel("Filter by title or id").fill("no such title")
      await page.getByText("0 of 150 are shown.").waitFor()
      await page.getByLabel("Filter by title or id").fill("")
      await page.getByRole("button", { name: "Approve 150 deletions…" }).click()
      const dialog = page.getByRole("dialog")
      await dialog.getByText("This is soft").waitFor()
      assert.deepStrictEqual(await Browser.faults(page), [])
      // Cancels, which moves the focus back to the button.
      await page.keyboard.press("Escape")
      await dialog.waitFor({ state: "hidden" })
      assert.strictEqual(await page.evaluate("document.activeElement.textContent"), "Approve 150 deletions…")
      await page.keyboard.press("Enter")
      await dialog.getByRole("button", { name: "Delete 150" }).click()
      await page.getByText("150 contents marked as deleted").waitFor()
      await page.getByText("No deletion waits for you").waitFor()
      const { totals } = await dashboard.api("GET", "/connections/mail")
      assert.deepInclude(totals, { stored: 252, deleted: 150, deletionsHeld: 0 })
    })
  )
}
