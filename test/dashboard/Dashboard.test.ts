/** The dashboard of a running server, in a real browser. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
import * as GmailServer from "../support/GmailServer.ts"
import * as Provider from "../support/Provider.ts"
import { skips } from "../support/Requirement.ts"
import * as Browser from "./Browser.ts"
import * as Hostile from "./Hostile.ts"
import { quota, ServerAndBrowser, token } from "./ServerAndBrowser.ts"

type In = ServerAndBrowser["Service"]

/** Runs one test with the scene. */

const scenario = (run: (scene: In) => Promise<void>) =>
  Effect.flatMap(ServerAndBrowser, (scene) => Effect.promise(() => run(scene)))

/** Waits until the page of this connection shows this number of stored contents. */
const stored = (page: Page, count: number) =>
  page.getByRole("link", { name: `Stored: ${count}`, exact: true }).waitFor()

const connectionId = async ({ api }: In, name: string): Promise<string> =>
  String((await api("GET", `/connections/${encodeURIComponent(name)}`))["id"])

const open = async (scene: In, page: Page, name: string, rest = "") => {
  await page.goto(`${scene.idem.url}/#/connections/${await connectionId(scene, name)}${rest}`)
  await page.getByRole("heading", { name, level: 1, exact: true }).waitFor()
}

/** Asks for a sync of what is new, by hand. */
const syncNow = async (page: Page) => {
  await page.getByRole("button", { name: "Sync…" }).click()
  await page.getByRole("button", { name: "Sync now" }).click()
  await page.getByRole("dialog").waitFor({ state: "hidden" })
}

describe.skipIf(skips("the dashboard's tests", Browser.missing))("the dashboard", () => {
  layer(ServerAndBrowser.layer, { excludeTestServices: true })((it) => {
    it.effect("asks for the token, says when it is wrong, and says what to do where nothing is connected", () =>
      scenario(async ({ chromium, idem }) => {
        const { context, errors, page } = await Browser.open(chromium)
        await page.goto(`${idem.url}/`)
        await page.getByLabel("Token").fill("not-the-right-token")
        await page.getByRole("button", { name: "Sign in" }).click()
        await page.getByText("the token is not the right one").waitFor()
        assert.strictEqual(await page.getByLabel("Token").getAttribute("aria-invalid"), "true")
        assert.deepStrictEqual(await Browser.faults(page), [])
        await page.getByLabel("Token").fill(token)
        await page.getByRole("button", { name: "Sign in" }).click()
        await page.getByText("Nothing is connected yet").waitFor()
        await page.getByText("idem connect gmail --name me").waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        // The one that the browser notes by itself: of the wrong token.
        assert.deepStrictEqual(
          errors.filter((error) => !error.includes("401")),
          []
        )
        await context.close()
      })
    )

    it.effect("connects an account by signing in at its provider, and comes back to it", () =>
      scenario(async ({ google, signedIn }) => {
        const { context, page } = await signedIn()
        await page.getByRole("link", { name: "Connect an account" }).first().click()
        await page.getByRole("link", { name: "Gmail" }).click()
        await page.getByLabel("Name").fill("signed in")
        await page.getByLabel("Client ID").fill(Provider.client.clientId)
        await page.getByLabel("Client secret").fill(Provider.client.clientSecret)
        await page.getByText("Advanced settings").click()
        await page.getByLabel("Another server").fill("nonsense")
        await page.getByRole("button", { name: "Connect at Gmail" }).click()
        // The server's message about a field stands at the field.
        await page.locator(".field-error").getByText("must be an http or https URL").waitFor()
        assert.strictEqual(await page.getByLabel("Another server").getAttribute("aria-invalid"), "true")
        await page.getByLabel("Another server").fill(google)
        await page.getByRole("button", { name: "Connect at Gmail" }).click()
        await page.getByRole("button", { name: /me@example\.com/ }).click()
        await page.getByRole("heading", { name: "signed in", level: 1 }).waitFor()
        await stored(page, 1)
        await page.getByRole("link", { name: /^Contents/ }).click()
        await page.getByRole("link", { name: "Hi", exact: true }).waitFor()
        await context.close()
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
        // The rest waits until the page has shown how far it is.
        let held = false
        gmail.before(
          "messages.get",
          () => {
            if (!held && gmail.count("messages.get") > 250) {
              held = true
              gmail.slow(1000)
            }
          },
          1000
        )
        const { context, page } = await signedIn()
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
        gmail.slow(0)
        await stored(page, 401)
        await page.getByRole("heading", { name: "Last run" }).waitFor()
        await page.getByRole("img", { name: /Items per hour, 12 hours: Stored 401, .*Failed 1/ }).waitFor()
        await page.getByRole("link", { name: "Failed: 1", exact: true }).waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        await context.close()
      })
    )

    it.effect("shows why an item failed, and stores it when it is tried again", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await open(scene, page, "mail", "/ledger")
        await page
          .getByRole("row", { name: /refused/ })
          .getByText("We may not read it")
          .waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        scene.gmail.heal()
        await page.getByRole("button", { name: "Retry refused" }).click()
        await page.getByText("The ledger is empty").waitFor()
        const { state, title } = await scene.api("GET", "/connections/mail/content?externalId=refused")
        assert.deepStrictEqual({ state, title }, { state: "stored", title: "Not to be had" })
        await context.close()
      })
    )

    it.effect("downloads chosen ids again, and only those", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await open(scene, page, "mail", "/runs")
        const [first = "", second = ""] = scene.gmail.mailbox.ids.filter((id) => id !== "hostile" && id !== "refused")
        scene.gmail.forgetSeen()
        await page.getByRole("button", { name: "Sync…" }).click()
        await page.getByLabel("Chosen ids again").check()
        await page.getByLabel("External ids").fill(`${first}\n${second}\n`)
        await page.getByRole("button", { name: "Dry run" }).click()
        await page.getByText("It would download 2").waitFor()
        assert.strictEqual(scene.gmail.count("messages.get"), 0)
        assert.deepStrictEqual(await Browser.faults(page), [])
        await page.getByRole("button", { name: "Sync now" }).click()
        await page.getByRole("listitem").filter({ hasText: "2 unchanged" }).waitFor()
        const asked = scene.gmail.seen.filter(({ method }) => method === "messages.get").map(({ id }) => id)
        assert.deepStrictEqual(asked.toSorted(), [first, second].toSorted())
        assert.strictEqual(scene.gmail.count("messages.list"), 0)
        await context.close()
      })
    )

    it.effect("asks before deletions that are held back are applied, and says how many", () =>
      scenario(async (scene) => {
        const { mailbox } = scene.gmail
        for (const id of mailbox.ids.filter((each) => each !== "hostile").slice(0, 150)) mailbox.remove(id)
        const { context, page } = await scene.signedIn()
        await open(scene, page, "mail")
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
        // Not yet, and back to where one was.
        await page.keyboard.press("Escape")
        await dialog.waitFor({ state: "hidden" })
        assert.strictEqual(await page.evaluate("document.activeElement.textContent"), "Approve 150 deletions…")
        await page.keyboard.press("Enter")
        await dialog.getByRole("button", { name: "Delete 150" }).click()
        await page.getByText("150 contents marked as deleted").waitFor()
        await page.getByText("No deletion waits for you").waitFor()
        const { totals } = await scene.api("GET", "/connections/mail")
        assert.deepInclude(totals, { stored: 252, deleted: 150, deletionsHeld: 0 })
        await context.close()
      })
    )

    it.effect("finds what is stored by its title, and pages through the rest", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await open(scene, page, "mail", "/contents")
        await page.getByText("50 shown.").waitFor()
        await page.getByRole("button", { name: "Show more" }).click()
        await page.getByText("100 shown.").waitFor()
        await page.getByLabel("Text in the title").fill("report 7")
        await page.keyboard.press("Enter")
        await page.getByText("11 shown, that is all.").waitFor()
        await page.locator('[data-label="From"]').first().getByText(/\S/).waitFor()
        await page.getByLabel("State").selectOption("deleted")
        await page.getByText("Nothing fits").waitFor()
        await context.close()
      })
    )

    it.effect("searches from any page by /, and marks what it found as text", () =>
      scenario(async (scene) => {
        // The server indexes a moment after it has stored.
        let found: unknown
        while (!Array.isArray(found) || found.length === 0) {
          found = (await scene.api("GET", "/search?q=plain"))["results"]
        }
        const { context, errors, page } = await scene.signedIn()
        await open(scene, page, "mail", "/runs")
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
        await context.close()
      })
    )

    it.effect("shows an email that tries everything, and nothing of it runs, loads or breaks out", () =>
      scenario(async (scene) => {
        const { context, errors, asked, page } = await scene.signedIn()
        await open(scene, page, "mail", "/content?id=hostile")
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
        // The title is text, wherever it stands.
        await page.getByRole("heading", { name: Hostile.markup(scene.trap.url), level: 2, exact: true }).waitFor()
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
        const link = page.getByRole("link", { name: `${scene.trap.url}/named` })
        assert.strictEqual(await link.getAttribute("rel"), "noopener noreferrer")
        assert.deepStrictEqual(await Browser.faults(page), [])
        await page.getByRole("link", { name: /^Contents/ }).click()
        await page.getByRole("link", { name: Hostile.markup(scene.trap.url), exact: true }).waitFor()
        await page.goBack()
        await frame.getByText("Readable text stays.").waitFor()

        // Each of its pages and parts by itself, as the whole window.
        const ref = await connectionId(scene, "mail")
        for (const part of ["email?externalId=hostile", "email?externalId=hostile&as=text"]) {
          await page.goto(`${scene.idem.url}/connections/${ref}/content/${part}`)
          await page.locator("body").waitFor()
        }
        const parts = [
          "body?externalId=hostile",
          "email/part?externalId=hostile&part=1",
          "email/part?externalId=hostile&part=2"
        ]
        for (const part of parts) {
          const downloading = page.waitForEvent("download")
          await page.goto(`${scene.idem.url}/connections/${ref}/content/${part}`).catch(() => undefined)
          await (await downloading).cancel()
        }
        await page.goto(address)
        await frame.getByText("Readable text stays.").waitFor()

        assert.strictEqual(await page.evaluate("String(globalThis.owned)"), "undefined")
        assert.strictEqual(context.pages().length, 1)
        assert.strictEqual(page.url(), address)
        const elsewhere = asked.filter((url) => !url.startsWith(`${scene.idem.url}/`) && !url.startsWith("data:"))
        assert.deepStrictEqual(elsewhere, [])
        assert.deepStrictEqual(scene.trap.asked, [])
        assert.deepStrictEqual(errors, [])
        await context.close()

        // The same HTML in a page of no protection springs the trap: it is one.
        const unprotected = await Browser.open(scene.chromium)
        const sprung = unprotected.page.waitForRequest(`${scene.trap.url}/script`)
        await unprotected.page.setContent(Hostile.html(scene.trap.url)).catch(() => undefined)
        await sprung
        await unprotected.context.close()
        scene.trap.asked.length = 0
      })
    )

    it.effect("an email's frame runs and loads nothing, even of HTML that nobody has sanitized", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await context.route("**/content/email?**", async (route) => {
          const response = await route.fetch()
          await route.fulfill({ response, body: Hostile.html(scene.trap.url) })
        })
        await open(scene, page, "mail", "/content?id=hostile")
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
        assert.deepStrictEqual(scene.trap.asked, [])
        await context.unrouteAll({ behavior: "ignoreErrors" })
        await context.close()
      })
    )

    it.effect("plots begin where there is data, and show the quota's limit as a line", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        const ref = await connectionId(scene, "mail")
        const hourOf = (index: number) => new Date(Date.UTC(2026, 0, 31) + index * 3_600_000).toISOString()
        await context.route(`**/connections/${ref}`, async (route) => {
          const response = await route.fetch()
          const status = (await response.json()) as object
          await route.fulfill({ response, json: { ...status, unitsPerMinute: 250 } })
        })
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
            // The one hour with a run is 100 hours ago.
            const isBusy = hours.length - index === 100
            return { ...none, hour: hourOf(index), ...(isBusy ? { runs: 1, stored: 7, quotaUnits: 9000 } : {}) }
          })
          await route.fulfill({ response, json: { hours: json } })
        })
        await open(scene, page, "mail")
        await page.getByRole("img", { name: /^Items per hour, 100 hours: Stored 7,/ }).waitFor()
        const span = page.getByRole("region", { name: "By the hour" }).getByRole("combobox")
        assert.strictEqual(await span.inputValue(), "168")
        await page.getByRole("img", { name: /^Quota units per hour.*the limit is 15,000 an hour$/ }).waitFor()
        await span.selectOption("48 hours")
        await page.getByText("No run in this time").waitFor()
        await context.unrouteAll({ behavior: "ignoreErrors" })
        await context.close()
      })
    )

    it.effect("shows names, messages and files as the text that they are", () =>
      scenario(async (scene) => {
        const { slack } = scene
        const markup = Hostile.markup(scene.trap.url)
        const name = `<img src=x onerror="globalThis.owned=1">`
        const channel = slack.workspace.addChannel("general")
        const parent = slack.workspace.post(channel, `${markup}\nof two lines`)
        slack.workspace.post(channel, `a reply ${markup}`, { thread: parent })
        await scene.api("POST", "/connections", {
          domain: "slack",
          name,
          config: { slackApiUrl: slack.url, quota },
          credentials: { token: slack.token }
        })
        const { context, errors, page } = await scene.signedIn()
        await page.getByRole("link", { name, exact: true }).click()
        await page.getByRole("heading", { name, level: 1, exact: true }).waitFor()
        await page.getByRole("link", { name: /^Contents/ }).click()
        await page.getByLabel("Text in the title").fill("a reply")
        await page.keyboard.press("Enter")
        await page.getByText("1 shown, that is all.").waitFor()
        await page.getByRole("link", { name: `a reply ${markup}`, exact: true }).click()
        await page.locator(".message-text").getByText(`a reply ${markup}`, { exact: true }).waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        // Its thread leads to the message that it answers.
        await page.getByRole("link", { name: "its beginning" }).click()
        await page.locator('.thread > li[aria-current="true"]').getByText("of two lines").waitFor()
        assert.strictEqual(await page.evaluate("String(globalThis.owned)"), "undefined")
        assert.deepStrictEqual(scene.trap.asked, [])
        assert.deepStrictEqual(errors, [])
        await context.close()
      })
    )

    it.effect("says what a pause means, and what the next step is", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await open(scene, page, "mail")
        await page.getByRole("button", { name: "Pause" }).click()
        await page.getByText("Polling is paused").waitFor()
        await page.getByText("Nothing is lost: it goes on where it was").waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "mail", exact: true }) })
        const nextStep = row.getByRole("link", { name: "paused: the next step" })
        await page.goto(`${scene.idem.url}/#/`)
        await row.getByText("by a person").waitFor()
        await row.getByText("nothing", { exact: true }).waitFor()
        // The person who paused it knows what to do.
        assert.strictEqual(await nextStep.count(), 0)
        await open(scene, page, "mail")
        await page.getByRole("button", { name: "Resume" }).first().click()
        await page.getByText("Polling is paused").waitFor({ state: "hidden" })
        scene.gmail.revoke()
        await syncNow(page)
        await page.getByText("Polling is paused").waitFor()
        await page.goto(`${scene.idem.url}/#/`)
        await nextStep.click()
        await page.getByRole("link", { name: "Give new credentials" }).click()
        scene.gmail.allow("another")
        await page.getByRole("radio", { name: "An access token", exact: true }).check()
        await page.getByRole("textbox", { name: "Access token", exact: true }).fill("another")
        await page.getByRole("button", { name: "Replace the credentials" }).click()
        await page.getByText("Saved. The source was reached with it.").waitFor()
        await page.getByText("Polling is paused").waitFor({ state: "hidden" })
        await context.close()
      })
    )

    it.effect("keeps what it shows while the server is away, says so, and goes on when it is back", () =>
      scenario(async ({ idem, signedIn }) => {
        const { context, page } = await signedIn()
        await page.getByRole("link", { name: "mail", exact: true }).waitFor()
        await idem.stop()
        await page.getByText("The server does not answer").waitFor()
        await page.getByRole("link", { name: "mail", exact: true }).waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        await idem.start()
        await page.getByRole("button", { name: "Try now" }).click()
        await page.getByText("The server does not answer").waitFor({ state: "hidden" })
        await page.getByRole("link", { name: "mail", exact: true }).waitFor()
        await context.close()
      })
    )

    it.effect("says on the home page when a source was last checked, and what needs a person", () =>
      scenario(async (scene) => {
        const { api, gmail, signedIn } = scene
        for (const id of ["unreadable", `unreadable-${"with-a-long-id".repeat(4)}`]) gmail.mailbox.add({ id })
        gmail.fault("messages.get", GmailServer.status(403, "forbidden", { message: "no delegation".repeat(20) }), {
          times: 1000,
          when: ({ id }) => id?.startsWith("unreadable") === true
        })
        for (const id of gmail.mailbox.ids.filter((each) => !/hostile|refused|unreadable/.test(each)).slice(0, 150)) {
          gmail.mailbox.remove(id)
        }
        const { context, page } = await signedIn()
        await open(scene, page, "mail")
        await syncNow(page)
        await page.getByText("150 deletions held back for you").waitFor()
        await page.getByRole("link", { name: "Failed: 2", exact: true }).waitFor()
        await page.goto(`${scene.idem.url}/#/`)
        const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "mail", exact: true }) })
        await row.getByRole("link", { name: "150 deletions to approve" }).waitFor()
        await page.getByText(/^\d connections, 1 needs you$/).waitFor()
        const { lastCheckedAt } = await api("GET", "/connections/mail")
        await row.locator(`[data-label="Last check"] time[datetime="${String(lastCheckedAt)}"]`).waitFor()
        // Items that are retried automatically need nobody.
        assert.strictEqual(await row.locator('[data-label="Needs you"] li').count(), 1)
        await context.close()
      })
    )

    it.effect("has no serious fault by axe on any page in both themes, fits each width, and keeps to its policy", () =>
      scenario(async (scene) => {
        const { context, errors, page } = await scene.signedIn({ width: 390 })
        const ref = await connectionId(scene, "mail")
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
          await page.goto(`${scene.idem.url}/#${at}`)
          await page.getByRole("heading", { level: 1 }).waitFor()
          await page.locator(".loading").waitFor({ state: "detached" })
          assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [], at)
        }
        assert.deepStrictEqual(errors, [])
        await context.close()
      })
    )

    it.effect(
      "can be used by keyboard alone: the first stop leads to the content, and a page that opens has the focus",
      () =>
        scenario(async (scene) => {
          const { context, page } = await scene.signedIn()
          await page.reload()
          await page.getByRole("link", { name: "mail", exact: true }).waitFor()
          await page.keyboard.press("Tab")
          await page.keyboard.press("Enter")
          const focused = () => page.evaluate("document.activeElement.textContent")
          assert.strictEqual(await focused(), "Connections")
          await page.getByRole("link", { name: "mail", exact: true }).focus()
          await page.keyboard.press("Enter")
          await page.getByRole("heading", { name: "mail", level: 1 }).waitFor()
          await page.locator("h1:focus").waitFor()
          assert.strictEqual(await focused(), "mail")
          await context.close()
        })
    )

    it.effect("saves another address only together with credentials for it", () =>
      scenario(async (scene) => {
        const { api, gmail, signedIn } = scene
        gmail.allow("of the move")
        await api("POST", "/connections", {
          domain: "gmail",
          name: "moving",
          config: { rootUrl: gmail.url, query: "subject:none", quota },
          credentials: { accessToken: "of the move" }
        })
        const rootUrl = async () => ((await api("GET", "/connections/moving"))["config"] as { rootUrl: string }).rootUrl
        const { context, page } = await signedIn()
        await open(scene, page, "moving", "/settings")
        const whole = page.getByLabel("Save the settings above with them")
        await page.getByLabel("Polled every").fill("never")
        await page.getByRole("button", { name: "Save", exact: true }).click()
        await page.getByRole("alert").waitFor()
        assert.strictEqual(await whole.count(), 0)
        await page.getByLabel("Polled every").fill("7 minutes")
        const trapped = scene.trap.asked.length
        await page.getByLabel("Another server").fill(scene.trap.url)
        await page.getByRole("button", { name: "Save", exact: true }).click()
        await page
          .getByRole("alert")
          .getByText(/rootUrl of "moving" says where its credentials are sent/)
          .waitFor()
        assert.isTrue(await whole.isChecked())
        // The address was mistyped: the credentials are for the one that the form shows by now.
        await page.getByLabel("Another server").fill(`${gmail.url}/`)
        assert.strictEqual(await rootUrl(), gmail.url)
        await page.getByRole("radio", { name: "An access token", exact: true }).check()
        await page.getByRole("textbox", { name: "Access token", exact: true }).fill("of the move")
        await page.getByRole("button", { name: "Replace the credentials" }).click()
        await page.getByText("Saved. The source was reached with it.").waitFor()
        assert.strictEqual(await rootUrl(), `${gmail.url}/`)
        assert.strictEqual(scene.trap.asked.length, trapped)
        assert.strictEqual((await api("GET", "/connections/moving"))["every"], "7 minutes")
        assert.strictEqual(await whole.count(), 0)
        await context.close()
      })
    )

    it.effect("keeps what is typed into a filter while the page is updated", () =>
      scenario(async (scene) => {
        const { api, gmail, signedIn } = scene
        gmail.allow("of the filter")
        await api("POST", "/connections", {
          domain: "gmail",
          name: "typing",
          config: { rootUrl: gmail.url, query: "subject:none", quota },
          credentials: { accessToken: "of the filter" }
        })
        const { context, page } = await signedIn()
        const ref = await connectionId(scene, "typing")
        let isTyped = false
        await context.route(`**/connections/${ref}`, async (route) => {
          const response = await route.fetch()
          const status = (await response.json()) as object
          await route.fulfill({ response, json: { ...status, ...(isTyped ? { account: "updated@example.com" } : {}) } })
        })
        await open(scene, page, "typing", "/contents")
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
        await page.goto(`${scene.idem.url}/#/search?q=nothing-of-this-word`)
        await page.getByLabel("Sender").focus()
        await page.keyboard.type("an")
        typed.resolve()
        await page.getByText("Nothing found").waitFor()
        assert.strictEqual(await page.getByLabel("Sender").inputValue(), "an")
        await context.unrouteAll({ behavior: "ignoreErrors" })
        await context.close()
      })
    )

    it.effect("says that a paused connection runs a sync that a person asks for", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await scene.api("POST", "/connections/typing/pause")
        await open(scene, page, "typing")
        await page.getByRole("button", { name: "Sync…" }).click()
        await page.getByText("The connection is paused. This sync runs all the same").waitFor()
        await page.getByRole("button", { name: "Sync now" }).click()
        await page.getByRole("dialog").waitFor({ state: "hidden" })
        await page.goto(`${scene.idem.url}/#/connections/${await connectionId(scene, "typing")}/runs`)
        await page.locator(".run-outcome").getByText("nothing new").waitFor()
        // The run's row is written before its lease is given back.
        let { state } = await scene.api("GET", "/connections/typing")
        while (state === "running") ({ state } = await scene.api("GET", "/connections/typing"))
        assert.strictEqual(state, "paused")
        await context.close()
      })
    )

    it.effect("has its navigation on one line of a phone", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn({ width: 390 })
        const lines = await page.evaluate(
          "new Set([...document.querySelectorAll('.top nav > *')].map((each) => Math.round(each.getBoundingClientRect().bottom / 8))).size"
        )
        assert.strictEqual(lines, 1)
        await context.close()
      })
    )

    it.effect("deletes what is stored only once the connection's name was typed", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        await open(scene, page, "signed in", "/settings")
        await page.getByRole("button", { name: "Delete the connection and what is stored…" }).click()
        const confirm = page.getByRole("button", { name: "Delete for good" })
        await page.getByLabel(/^Type the connection's name/).fill("signed")
        assert.isTrue(await confirm.isDisabled())
        await page.getByLabel(/^Type the connection's name/).fill("signed in")
        await confirm.click()
        await page.getByRole("heading", { name: "Connections", level: 1 }).waitFor()
        const { connections } = await scene.api("GET", "/connections")
        const names = (connections as ReadonlyArray<{ readonly name: string }>).map(({ name }) => name)
        assert.notInclude(names, "signed in")
        assert.include(names, "mail")
        await context.close()
      })
    )

    it.effect("says on the connection's page until when the source asked to wait", () =>
      scenario(async (scene) => {
        const { context, page } = await scene.signedIn()
        const ref = await connectionId(scene, "mail")
        await context.route(`**/connections/${ref}`, async (route) => {
          const response = await route.fetch()
          const status = (await response.json()) as object
          await route.fulfill({ response, json: { ...status, askedToWaitUntil: "2099-01-01T00:00:00Z" } })
        })
        await open(scene, page, "mail")
        await page.getByText("The source asked Idem to wait").waitFor()
        await page.locator('.notice time[datetime="2099-01-01T00:00:00Z"]').waitFor()
        assert.deepStrictEqual(await Browser.faults(page), [])
        await context.unrouteAll({ behavior: "ignoreErrors" })
        await context.close()
      })
    )
  })
})
