/** The page's requests to the server, as seen by `fetch`. */
import { afterEach, assert, beforeEach, it, vi } from "@effect/vitest"
import * as Api from "../../src/dashboard/Api.ts"
import * as SyncRequest from "../../src/dashboard/SyncRequest.ts"

const asked: Array<{ readonly path: string; readonly method: string; readonly body: unknown }> = []

beforeEach(() => {
  vi.stubGlobal(
    "fetch",
    async (path: string, { body, method }: { readonly body?: string; readonly method: string }) => {
      asked.push({ path, method, body: body === undefined ? undefined : JSON.parse(body) })
      return new Response("{}", { headers: { "content-type": "application/json" } })
    }
  )
})

afterEach(() => {
  vi.unstubAllGlobals()
  asked.length = 0
})

const since = "2026-01-01T00:00:00.000Z"
const until = "2026-02-01T00:00:00.000Z"

it("a list of contents is asked for with each filter under its own name", async () => {
  const filter = { state: "stored", kind: "message", text: "a b&c", since, until }
  await Api.contents("my mail", filter, "cursor", {})
  const { pathname, searchParams } = new URL(asked[0]?.path ?? "", "http://localhost")
  assert.strictEqual(pathname, "/connections/my%20mail/contents/full")
  assert.deepStrictEqual(Object.fromEntries(searchParams), {
    ...filter,
    order: "newest",
    limit: "50",
    after: "cursor"
  })
})

it("a filter that is empty is left out", async () => {
  await Api.contents("mail", { state: "", since: undefined }, undefined, {})
  assert.deepStrictEqual(asked, [
    { path: "/connections/mail/contents/full?order=newest&limit=50", method: "GET", body: undefined }
  ])
})

it("a sync and a dry run are asked for with the window as it was given", async () => {
  await Api.sync("mail", { force: true, since, until }, "key")
  await Api.dryRun("mail", { since, until })
  assert.deepStrictEqual(asked, [
    { path: "/connections/mail/tasks", method: "POST", body: { force: true, since, until } },
    { path: "/connections/mail/tasks", method: "POST", body: { since, until, dryRun: true } }
  ])
})

it("the sync dialog's fields become the request, and ids leave the window out", () => {
  const fields = { what: "new", ids: " a \r\nb\n\nb\n", since: "2026-01-01T00:00", until: "2026-02-01T12:30" } as const
  const window = {
    since: new Date("2026-01-01T00:00").toISOString(),
    until: new Date("2026-02-01T12:30").toISOString()
  }
  assert.deepStrictEqual(SyncRequest.requestOf(fields), window)
  assert.deepStrictEqual(SyncRequest.requestOf({ ...fields, what: "all" }), { force: true, ...window })
  assert.deepStrictEqual(SyncRequest.requestOf({ ...fields, what: "all", since: "" }), {
    force: true,
    until: window.until
  })
  assert.deepStrictEqual(SyncRequest.requestOf({ ...fields, what: "ids" }), { forceIds: [" a ", "b"] })
})
