/** Steps that the dashboard's tests share. */
import * as Effect from "effect/Effect"
import type { BrowserContext, Page } from "playwright-core"
import type { Vitest } from "@effect/vitest"
import { quota, ServerAndBrowser } from "./ServerAndBrowser.ts"

type In = ServerAndBrowser["Service"]

/** Runs one test with the server and the browser. */
export const scenario = (run: (dashboard: In) => Promise<void>) =>
  Effect.flatMap(ServerAndBrowser, (dashboard) => Effect.promise(() => run(dashboard)))

/** Waits until the page of this connection shows this number of stored contents. */
export const stored = (page: Page, count: number) =>
  page.getByRole("link", { name: `Stored: ${count}`, exact: true }).waitFor()

export const connectionId = async ({ api }: In, name: string): Promise<string> =>
  String((await api("GET", `/connections/${encodeURIComponent(name)}`))["id"])

export const open = async (dashboard: In, page: Page, name: string, rest = "") => {
  await page.goto(`${dashboard.idem.url}/#/connections/${await connectionId(dashboard, name)}${rest}`)
  await page.getByRole("heading", { name, level: 1, exact: true }).waitFor()
}

/** Connects the mailbox once more, with a query that finds nothing. Returns the access token of this connection. */
export const connectEmpty = async ({ api, gmail }: In, name: string): Promise<string> => {
  const accessToken = `token of ${name}`
  gmail.allow(accessToken)
  await api("POST", "/connections", {
    domain: "gmail",
    name,
    config: { rootUrl: gmail.url, query: "subject:none", quota },
    credentials: { accessToken }
  })
  return accessToken
}

/** Replaces fields of the status that the page receives for the connection with this id. */
export const replaceStatus = (context: BrowserContext, id: string, fields: () => object) =>
  context.route(`**/connections/${id}`, async (route) => {
    const response = await route.fetch()
    const status = (await response.json()) as object
    await route.fulfill({ response, json: { ...status, ...fields() } })
  })

/** Requests a sync of new items with the button. */
export const syncNow = async (page: Page) => {
  await page.getByRole("button", { name: "Sync…" }).click()
  await page.getByRole("button", { name: "Sync now" }).click()
  await page.getByRole("dialog").waitFor({ state: "hidden" })
}

/** The tests of one server and one browser. */
export type Tests = Vitest.MethodsNonLive<ServerAndBrowser>
