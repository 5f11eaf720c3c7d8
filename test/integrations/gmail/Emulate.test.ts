/** Tests against an independent Gmail: npm's `emulate`. It has no `getProfile`, and its page tokens are offsets. */
import { assert, it } from "@effect/vitest"
import { createEmulator } from "emulate"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { poll } from "../../../src/contract/SyncTask.ts"
import { fetch } from "../../support/Fetch.ts"
import { freePort } from "../../support/FreePort.ts"
import * as Mirror from "./Mirror.ts"

const noon = Date.UTC(2026, 0, 1, 12)

const rawOf = (index: number) =>
  Buffer.from(
    `From: ann@example.com\r\nTo: me@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= ${index}\r\n\r\nBody ${index}\r\n`
  )

const emulator = (count: number) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const emulator = yield* Effect.acquireRelease(
      Effect.promise(() =>
        createEmulator({
          service: "google",
          port,
          seed: {
            tokens: { token: { login: "me@example.com", scopes: [] } },
            google: {
              users: [{ email: "me@example.com", name: "Me" }],
              messages: Array.from({ length: count }, (_, index) => ({
                id: `seed${index}`,
                user_email: "me@example.com",
                raw: rawOf(index).toString("base64url"),
                label_ids: ["INBOX"],
                internal_date: new Date(noon - index * 60_000).toISOString()
              }))
            }
          }
        })
      ),
      (emulator) => Effect.promise(() => emulator.close())
    )
    const send = (method: string, path: string, body?: Schema.Json) =>
      Effect.promise(async () => {
        const response = await fetch(`${emulator.url}/gmail/v1/users/me/${path}`, {
          method,
          headers: { authorization: "Bearer token", "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        })
        assert.isBelow(response.status, 300, await response.clone().text())
        return response.status === 204 ? "" : (((await response.json()) as { id?: string }).id ?? "")
      })
    const insert = (index: number) =>
      send("POST", "messages", { raw: rawOf(index).toString("base64url"), labelIds: ["INBOX"] })
    return { url: emulator.url, send, insert }
  })

it.live("mirrors emulate's Gmail: first sync, idle poll, new mail, labels, trash, deletion, force and a window", () =>
  Effect.gen(function* () {
    const { url, send, insert } = yield* emulator(600)
    const mirror = yield* Mirror.open({ url })
    assert.strictEqual(yield* mirror.session.account, "me@example.com")
    const { items, leftOut, unitsPerItem } = yield* mirror.session.estimate
    assert.deepStrictEqual({ items, leftOut, unitsPerItem }, { items: 600, leftOut: undefined, unitsPerItem: 20.01 })

    const first = yield* Mirror.cost(mirror, Mirror.sync(mirror))
    assert.strictEqual(first.downloads, 600)
    assert.strictEqual(mirror.stored.size, 600)
    assert.deepStrictEqual(mirror.stored.get("seed7")?.body, new Uint8Array(rawOf(7)))
    assert.strictEqual(mirror.stored.get("seed7")?.title, "Grüße 7")
    // The calls: those before the listing (no profile, the newest message, its history), two pages, the list of chats,
    // and the history after them.
    assert.strictEqual(first.calls, 4 + 2 + 1 + 1 + 600)
    const idle = { calls: 1, units: 2, checkerQueries: 0, downloads: 0 }
    assert.deepStrictEqual(yield* Mirror.cost(mirror, Mirror.sync(mirror)), idle)

    const [a, b, c] = yield* Effect.forEach([1000, 1001, 1002], insert)
    const three = yield* Mirror.cost(mirror, Mirror.sync(mirror))
    assert.deepStrictEqual(three, { calls: 4, units: 62, checkerQueries: 1, downloads: 3 })

    yield* send("POST", `messages/${a}/modify`, { addLabelIds: ["STARRED"], removeLabelIds: ["INBOX"] })
    yield* send("POST", `messages/${b}/trash`)
    yield* send("DELETE", `messages/${c}`)
    const changed = yield* Mirror.cost(mirror, Mirror.sync(mirror))
    assert.strictEqual(changed.downloads, 0)
    assert.deepStrictEqual(Mirror.labelsOf(mirror, a ?? ""), ["STARRED"])
    assert.deepStrictEqual(
      [b, c].filter((id) => mirror.stored.has(id ?? "")),
      []
    )
    yield* send("POST", `messages/${b}/untrash`)
    yield* Mirror.sync(mirror)
    assert.isTrue(mirror.stored.has(b ?? ""))
    assert.deepStrictEqual(yield* Mirror.cost(mirror, Mirror.sync(mirror)), idle)

    const live = mirror.checkpoint
    mirror.checkpoint = Option.none()
    // The contents without the fields that may differ between two downloads of the same message.
    const stable = () => [...mirror.stored].map(([id, content]) => [id, { ...content, volatile: {} }] as const)
    const before = stable()
    const forced = yield* Mirror.cost(mirror, Mirror.sync(mirror, { task: { ...poll, force: true } }))
    assert.strictEqual(forced.downloads, 602)
    assert.deepStrictEqual(stable(), before)

    mirror.checkpoint = Option.none()
    const window = { since: DateTime.makeUnsafe(noon - 5 * 60_000), until: DateTime.makeUnsafe(noon - 60_000) }
    const [page] = yield* Mirror.sync(mirror, { task: { ...poll, window } })
    assert.deepStrictEqual(
      page?.listed.map((ref) => ref.externalId),
      ["seed2", "seed3", "seed4", "seed5"]
    )

    mirror.checkpoint = live
    assert.deepStrictEqual(yield* Mirror.cost(mirror, Mirror.sync(mirror)), idle)
  }).pipe(Effect.scoped)
)

it.live("a deletion between emulate's pages hides messages from the listing, and not from the mirror", () =>
  Effect.gen(function* () {
    const { url, send, insert } = yield* emulator(1100)
    const mirror = yield* Mirror.open({ url })
    yield* Mirror.sync(mirror, { slice: 1 })
    yield* Effect.forEach(
      Array.from({ length: 30 }, (_, index) => index),
      (index) => send("DELETE", `messages/seed${index}`)
    )
    yield* insert(5000)
    yield* Mirror.sync(mirror)
    assert.strictEqual(mirror.stored.size, 1100 - 30 + 1)
    assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
  }).pipe(Effect.scoped)
)

it.live("refreshes a grant of emulate's own OAuth", () =>
  Effect.gen(function* () {
    const { url } = yield* emulator(1)
    const form = (fields: Record<string, string>) => ({ method: "POST", body: new URLSearchParams(fields) })
    const refreshToken = yield* Effect.promise(async () => {
      const redirect = await fetch(`${url}/o/oauth2/v2/auth/callback`, {
        ...form({
          email: "me@example.com",
          redirect_uri: "http://127.0.0.1/done",
          scope: "email",
          client_id: "client"
        }),
        redirect: "manual"
      })
      const code = new URL(redirect.headers.get("location") ?? "").searchParams.get("code") ?? ""
      const answer = await fetch(
        `${url}/oauth2/token`,
        form({ grant_type: "authorization_code", code, client_id: "client" })
      )
      return ((await answer.json()) as { refresh_token: string }).refresh_token
    })
    const credentials = { clientId: "client", clientSecret: "secret", refreshToken }
    const mirror = yield* Mirror.open({ url, credentials })
    yield* Mirror.sync(mirror)
    assert.strictEqual(mirror.stored.size, 1)
    assert.strictEqual(mirror.saved.length, 1)

    const stranger = yield* Mirror.open({ url, credentials: { ...credentials, refreshToken: "another" } })
    const error = yield* Effect.flip(Mirror.sync(stranger))
    assert.strictEqual("reason" in error && error.reason._tag, "Unauthorized")
  }).pipe(Effect.scoped)
)
