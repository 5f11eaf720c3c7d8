/** Makes the documentation's screenshots of the dashboard from the demo's data: `npm run screenshots`. */
import { once } from "node:events"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Browser from "../dashboard/Browser.ts"
import { close, connect, idem, send, start } from "./Mailboxes.ts"

/** The largest size in bytes: a page of the documentation has to load quickly. */
const largest = 150_000

const folder = join(import.meta.dirname, "../../docs/images")

/** Takes the screenshots, by the names of their files. */
const pictures = async (): Promise<Readonly<Record<string, Buffer>>> => {
  await connect("me", "token-me", 1e9)
  await idem("sync", "me")
  for (const subject of ["one", "two", "three"]) await send(subject)
  await connect("archive", "token-archive", 15_000)
  await idem("sync", "archive")

  const server = start("serve")
  const ended = once(server, "close")
  const chromium = await Browser.launch()
  try {
    const [answer] = await Promise.race([
      once(server.stdout, "data"),
      ended.then(() => Promise.reject(new Error("idem serve ended before it served")))
    ])
    const { serving } = JSON.parse(String(answer)) as { readonly serving: { readonly url: string } }
    const { page } = await Browser.open(chromium, { height: 800 })
    await page.goto(`${serving.url}/`)
    await page.getByRole("link", { name: "archive", exact: true }).click()
    await page.getByRole("link", { name: "Stored: 400", exact: true }).waitFor()
    await page.getByRole("img", { name: /Quota units per hour/ }).waitFor()
    const dashboard = await page.screenshot({ fullPage: true })
    await page.goto(`${serving.url}/#/search?q=${encodeURIComponent("letter from:friend3 -subject:4")}`)
    await page.locator("mark").first().waitFor()
    return { "dashboard.png": dashboard, "search.png": await page.screenshot() }
  } finally {
    await chromium.close()
    server.kill("SIGTERM")
    await ended
  }
}

try {
  await mkdir(folder, { recursive: true })
  for (const [name, png] of Object.entries(await pictures())) {
    if (png.length > largest) throw new Error(`${name} has ${png.length} bytes, more than ${largest}`)
    await writeFile(join(folder, name), png)
  }
} finally {
  await close()
}
