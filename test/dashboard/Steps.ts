/** Steps that the tests of the dashboard share. */
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
import type { Vitest } from "@effect/vitest"
import { ServerAndBrowser } from "./ServerAndBrowser.ts"

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

/** Asks for a sync of what is new, by hand. */
export const syncNow = async (page: Page) => {
  await page.getByRole("button", { name: "Sync…" }).click()
  await page.getByRole("button", { name: "Sync now" }).click()
  await page.getByRole("dialog").waitFor({ state: "hidden" })
}

/** The tests of one server and one browser. */
export type Tests = Vitest.MethodsNonLive<ServerAndBrowser>
