/** The pages of webhooks, in a real browser. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as GmailServer from "../support/GmailServer.ts"
import * as Receiver from "../support/Receiver.ts"
import * as Browser from "./Browser.ts"
import { quota, ServerAndBrowser } from "./ServerAndBrowser.ts"
import type { Tests } from "./Steps.ts"

export const webhooks = (it: Tests): void => {
  it.effect("create, ping, redeliver, rotate and delete a webhook, and show each secret once", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      const gmail = yield* GmailServer.make()
      const scene = yield* ServerAndBrowser
      yield* Effect.promise(() => lifeOf(receiver, gmail, scene))
    })
  )
}

const lifeOf = async (
  receiver: Receiver.Receiver,
  gmail: GmailServer.Server,
  { api, signedIn, sql }: ServerAndBrowser["Service"]
) => {
  gmail.mailbox.add({ subject: "Sent on" })
  await api("POST", "/connections", {
    domain: "gmail",
    name: "sent on",
    config: { rootUrl: gmail.url, quota },
    credentials: { accessToken: "token" }
  })
  const { errors, page } = await signedIn()
  await page.getByRole("link", { name: "Webhooks" }).click()
  await page.getByText("There is no webhook yet").waitFor()

  // A message that its endpoint refuses.
  receiver.answer = (response) => response.writeHead(500).end("<b>not now</b>")
  await page.getByRole("button", { name: "Create a webhook…" }).click()
  await page.getByLabel("URL").fill("https://169.254.169.254/hook")
  await page.getByRole("button", { name: "Create", exact: true }).click()
  await page.getByRole("alert").waitFor()
  await page.getByLabel("URL").fill(receiver.url)
  await page.getByLabel("Name").fill("a hook")
  await page.getByLabel("Connection", { exact: true }).selectOption("sent on")
  await page.getByLabel("undeleted").uncheck()
  await page.getByLabel("From the beginning").check()
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])
  await page.getByRole("button", { name: "Create", exact: true }).click()
  await page.getByText("The secret is shown this once").waitFor()
  const first = await page.locator(".copy code").textContent()
  assert.match(String(first), /^whsec_/)
  await page.getByText("stored, updated, deleted of sent on").waitFor()
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])

  await page.getByRole("link", { name: "a hook" }).click()
  await page.getByText("it answered 500").first().waitFor()
  assert.strictEqual(await page.getByText(String(first)).count(), 0)
  // The endpoint's response is shown as text.
  await page.getByText("<b>not now</b>").waitFor()
  await page.getByRole("button", { name: "Send a test message" }).click()
  await page.getByText("The test message was not delivered").waitFor()
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])

  await sql("UPDATE webhook_message SET state = 'dead', next_attempt_at = NULL, claim = claim + 1")
  receiver.answer = (response) => response.writeHead(204).end()
  await page.getByRole("button", { name: "Deliver 1 dead letter again" }).waitFor()
  await page.getByLabel("State").selectOption("dead")
  const again = page.getByRole("button", { name: /^Deliver .* again$/ })
  await page.getByRole("row").filter({ has: again }).getByRole("button").click()
  await page.getByText("No message is dead").waitFor()
  await page.getByLabel("State").selectOption("delivered")
  await page.getByText("status 204").waitFor()
  assert.isTrue(receiver.received.some(({ body }) => body.includes("content.changed") && body.includes("Sent on")))
  await page.getByRole("button", { name: "Send a test message" }).click()
  await page.getByText("The test message was delivered").waitFor()

  await page.getByRole("button", { name: "Pause" }).click()
  await page.getByText("Paused", { exact: true }).waitFor()
  await page.getByRole("button", { name: "Resume" }).click()
  await page.getByText("Active", { exact: true }).waitFor()
  await page.getByRole("button", { name: "Make a new secret…" }).click()
  await page.getByRole("dialog").getByRole("button", { name: "Make a new secret" }).click()
  await page.getByText("The secret is shown this once").waitFor()
  const second = await page.locator(".copy code").textContent()
  assert.match(String(second), /^whsec_/)
  assert.notStrictEqual(second, first)
  await page.reload()
  await page.getByRole("heading", { name: "a hook" }).waitFor()
  assert.strictEqual(await page.getByText("whsec_").count(), 0)

  await page.getByRole("button", { name: "Delete the webhook…" }).click()
  await page.getByRole("button", { name: "Delete", exact: true }).click()
  await page.getByText("There is no webhook yet").waitFor()
  assert.deepStrictEqual((await api("GET", "/webhooks"))["webhooks"], [])
  assert.deepStrictEqual(
    errors.filter((error) => !/\b4\d\d\b/.test(error)),
    []
  )
}
