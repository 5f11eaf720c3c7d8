/** The pages that show stored content for reading: messages in their threads, and previews of files. */
import { assert } from "@effect/vitest"
import * as Files from "../derive/extract/Files.ts"
import * as Browser from "./Browser.ts"
import * as Hostile from "./Hostile.ts"
import { quota, type ServerAndBrowser } from "./ServerAndBrowser.ts"
import { scenario, type Tests } from "./Steps.ts"

type In = ServerAndBrowser["Service"]

/** Fills Slack, connects it, and waits until the derived data for the page is complete. */
const connected = async ({ api, slack, trap }: In) => {
  const { workspace } = slack
  const channel = workspace.addChannel("general")
  const markdown = [
    "# Release *notes*",
    "- one",
    "- [a link](javascript:globalThis.owned=1)",
    "| a | b |\n| - | - |\n| c | d |",
    Hostile.html(trap.url)
  ].join("\n\n")
  const files = {
    markdown: workspace.addFile("notes.md", Buffer.from(markdown), { mimetype: "text/markdown" }),
    pdf: workspace.addFile("invoice.pdf", Files.pdf("Invoice 4711", "Total 12 EUR"), { mimetype: "application/pdf" }),
    csv: workspace.addFile("table.csv", Buffer.from('a,b\n1,"2, 3"\n'), { mimetype: "text/csv" }),
    binary: workspace.addFile("blob.bin", Buffer.from([0, 1, 2]), { mimetype: "application/octet-stream" })
  }
  const parent = workspace.post(
    channel,
    [
      ":tada: *Release* by <@U00000002>, see <https://example.com/notes|the notes>",
      "&gt; quoted &lt;b&gt;",
      "<javascript:globalThis.owned=1|click> <@U00000001> `code` :party-parrot:"
    ].join("\n"),
    { files: Object.values(files) }
  )
  const first = workspace.post(channel, "thanks :+1::skin-tone-3:", { thread: parent, user: "U00000002" })
  workspace.post(channel, `and ${Hostile.markup(trap.url)}`, { thread: parent })
  workspace.react(channel, parent, "heart")
  await api("POST", "/connections", {
    domain: "slack",
    name: "team",
    config: { slackApiUrl: slack.url, quota },
    credentials: { token: slack.token }
  })
  const isDerived = async () => {
    const thread = await api("GET", `/connections/team/content/thread?externalId=${channel}/${parent}`).catch(
      () => ({})
    )
    const text = await api("GET", `/connections/team/content/text?externalId=files/${files.pdf}`).catch(() => ({}))
    return (
      (thread as { messages?: ReadonlyArray<unknown> }).messages?.length === 3 &&
      String((text as { text?: unknown }).text).includes("Total 12 EUR")
    )
  }
  while (!(await isDerived())) await new Promise(setImmediate)
  const ref = String((await api("GET", "/connections/team"))["id"])
  return { channel, files, first, ref }
}

export const contents = (it: Tests): void => {
  it.effect("is for reading: threads with names, emoji and links, and previews of files", () => scenario(reading))
}

const reading = async (scene: In) => {
  const { channel, files, first, ref } = await connected(scene)
  const { errors, page } = await scene.signedIn()
  const at = (id: string) => `${scene.idem.url}/#/connections/${ref}/content?id=${encodeURIComponent(id)}`

  await page.goto(`${scene.idem.url}/#/connections/${ref}/contents?kind=message`)
  const row = page.getByRole("row").filter({ hasText: "Release" })
  await row.getByRole("link", { name: "🎉 Release by @bob, see the notes", exact: true }).waitFor()
  await row.getByText("alice in #general", { exact: true }).waitFor()
  await page.getByText("bob in #general (reply)", { exact: true }).waitFor()
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])
  await page.setViewportSize({ width: 1280, height: 900 })
  assert.isAtLeast((await row.locator('[data-label="From"]').boundingBox())?.width ?? 0, 200)
  await page.setViewportSize({ width: 390, height: 900 })
  assert.isAtLeast((await row.locator('[data-label="From"]').boundingBox())?.width ?? 0, 300)

  // "Sign out" stays on the line of the other links.
  await page.setViewportSize({ width: 360, height: 900 })
  const links = await page.locator(".top nav > *").all()
  const boxes = await Promise.all(links.map((each) => each.boundingBox()))
  assert.isAtMost(Math.max(...boxes.map((box) => box?.y ?? 0)) - (boxes[0]?.y ?? 0), 5)

  // A reply links to the whole thread, in order. The URL may have the connection's name.
  await page.goto(at(`${channel}/${first}`).replace(ref, "team"))
  const messages = page.locator(".thread > li")
  await messages.nth(2).waitFor()
  assert.strictEqual(page.url(), at(`${channel}/${first}`))
  await messages.nth(0).getByRole("img", { name: "tada" }).getByText("🎉").waitFor()
  assert.strictEqual(await messages.nth(1).getAttribute("aria-current"), "true")
  await messages.nth(1).getByRole("link", { name: "bob", exact: true }).waitFor()
  await messages.nth(1).getByText("👍🏼").waitFor()
  await messages.nth(2).getByText(Hostile.markup(scene.trap.url)).waitFor()
  const opening = messages.nth(0)
  await opening.locator("strong", { hasText: "Release" }).waitFor()
  await opening.getByRole("link", { name: "@bob" }).waitFor()
  await opening.getByRole("link", { name: "@alice" }).waitFor()
  await opening.locator("blockquote", { hasText: "quoted <b>" }).waitFor()
  await opening.locator("code", { hasText: "code" }).waitFor()
  await opening.getByText(":party-parrot:").waitFor()
  await opening.getByText("(example.com)").waitFor()
  await opening.getByText("❤️").waitFor()
  const link = opening.getByRole("link", { name: "the notes" })
  assert.strictEqual(await link.getAttribute("href"), "https://example.com/notes")
  assert.strictEqual(await link.getAttribute("rel"), "noopener noreferrer")
  assert.strictEqual(await page.locator('main a[href^="javascript"], main script, main .thread b').count(), 0)
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])
  await page.getByRole("link", { name: "its beginning" }).click()
  await page.locator('.thread > li[aria-current="true"]').getByText("Release").waitFor()
  await page.getByRole("link", { name: "notes.md" }).click()

  const frame = page.frameLocator("iframe")
  await frame.getByRole("heading", { name: "Release notes" }).waitFor()
  await frame.getByRole("cell", { name: "d", exact: true }).waitFor()
  await frame.getByText("Readable text stays.").waitFor()
  await frame.getByText("a link", { exact: true }).click()
  assert.strictEqual(await page.locator("iframe").getAttribute("sandbox"), "allow-same-origin")
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])

  await page.goto(at(`files/${files.pdf}`))
  await page.getByText("browsers do not open PDFs in a sandbox").waitFor()
  await page.getByText("Total 12 EUR").waitFor()
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])
  await page.goto(at(`files/${files.csv}`))
  await page.getByRole("cell", { name: "2, 3", exact: true }).waitFor()
  await page.goto(at(`files/${files.binary}`))
  await page.getByText("A file of the type application/octet-stream is not shown here").waitFor()
  assert.deepStrictEqual(await Browser.faultsAtEachWidth(page), [])

  assert.strictEqual(await page.evaluate("String(globalThis.owned)"), "undefined")
  assert.deepStrictEqual(scene.trap.asked, [])
  assert.deepStrictEqual(errors, [])
}
