/** Makes the documentation's picture of the dashboard from the demo's data: `npm run screenshots`. */
import { once } from "node:events"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Browser from "../dashboard/Browser.ts"
import { close, connect, idem, send, start } from "./Mailboxes.ts"

/** Bytes: a page of the documentation has to load quickly. */
const largest = 150_000

const folder = join(import.meta.dirname, "../../docs/images")

const picture = async (): Promise<Buffer> => {
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
    return await page.screenshot({ fullPage: true })
  } finally {
    await chromium.close()
    server.kill("SIGTERM")
    await ended
  }
}

try {
  const png = await picture()
  if (png.length > largest) throw new Error(`the picture has ${png.length} bytes, more than ${largest}`)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, "dashboard.png"), png)
} finally {
  await close()
}
