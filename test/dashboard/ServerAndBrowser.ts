/**
 * The server and the browser of the dashboard's tests: a real `idem serve` with a token, stand-ins as sources, a trap
 * server that must never receive a request, and a Chromium.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Client } from "pg"
import type { Browser as Chromium } from "playwright-core"
import { fetch } from "../support/Fetch.ts"
import { freePort } from "../support/FreePort.ts"
import * as GmailServer from "../support/GmailServer.ts"
import { programFile } from "../support/IdemProcess.ts"
import * as Postgres from "../support/Postgres.ts"
import * as Provider from "../support/Provider.ts"
import * as SlackServer from "../support/SlackServer.ts"
import * as Browser from "./Browser.ts"
import * as Hostile from "./Hostile.ts"

export const token = "a-token-of-the-dashboard"

/** No limit, because these tests must not wait for the quota. */
export const quota = { unitsPerMinute: 1_000_000_000 }

/** `idem serve` as a process that can be stopped, and started again on its port. */
const server = (databaseUrl: string, port: number) => {
  let child: ChildProcess | undefined
  const start = async () => {
    const started = spawn(process.execPath, [programFile("src/main.ts"), "serve"], {
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        DATABASE_URL: databaseUrl,
        IDEM_SECRET_KEY: Buffer.alloc(32, 7).toString("base64"),
        IDEM_API_TOKEN: token,
        // The stand-ins are connected over HTTP.
        IDEM_SOURCE_ALLOW: "127.0.0.1,localhost",
        IDEM_WEBHOOK_ALLOW: "127.0.0.1",
        PORT: String(port)
      },
      stdio: ["ignore", "pipe", "pipe"]
    })
    child = started
    let log = ""
    started.stderr.on("data", (chunk) => (log += chunk))
    await new Promise<void>((resolve, reject) => {
      started.stdout.on("data", (chunk) => {
        if (String(chunk).includes("serving")) resolve()
      })
      started.once("close", (code) => reject(new Error(`idem serve ended with ${code}: ${log}`)))
    })
  }
  const stop = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, "close")
    child.kill("SIGTERM")
    await ended
  }
  return { start, stop, url: `http://127.0.0.1:${port}` }
}

/** A server that must never receive a request, and the requests that it received. */
const trap = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly asked: Array<string>; readonly http: Http.Server }>((resume) => {
    const asked: Array<string> = []
    const http = Http.createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      response.writeHead(200, { "access-control-allow-origin": "*" }).end()
    })
    http.listen(0, "127.0.0.1", () =>
      resume(Effect.succeed({ url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, asked, http }))
    )
  }),
  ({ http }) =>
    Effect.sync(() => {
      http.close()
      http.closeAllConnections()
    })
)

const make = Effect.gen(function* () {
  const port = yield* freePort
  const databaseUrl = yield* Postgres.makeUrl
  const idem = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const made = server(databaseUrl, port)
      await made.start()
      return made
    }),
    ({ stop }) => Effect.promise(stop)
  )
  const chromium = yield* Effect.acquireRelease(Effect.promise(Browser.launch), (browser: Chromium) =>
    Effect.promise(() => browser.close())
  )
  const trapped = yield* trap
  const google = yield* Provider.google([`${idem.url}/sign-in/callback`])
  const gmail = yield* GmailServer.make({ email: "first@example.com" })
  const slack = yield* SlackServer.make()

  /** Calls the API as a script would. */
  const api = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const response = await fetch(`${idem.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return JSON.parse(text) as Record<string, unknown>
  }

  let window: Browser.Watched | undefined

  /**
   * Returns the window that is signed in, on the home page, without routes or recorded events. All tests share it,
   * because another window would compile the dashboard and axe-core again.
   */
  const signedIn = async ({ width = 1280 } = {}): Promise<Browser.Watched> => {
    const isNew = window === undefined
    window ??= await Browser.open(chromium)
    const { asked, context, errors, page } = window
    await context.unrouteAll({ behavior: "ignoreErrors" })
    await page.setViewportSize({ width, height: 900 })
    errors.length = 0
    asked.length = 0
    await page.goto(`${idem.url}/`)
    if (isNew) {
      await page.getByLabel("Token").fill(token)
      await page.getByRole("button", { name: "Sign in" }).click()
    }
    await page.getByRole("heading", { name: "Connections", level: 1 }).waitFor()
    return window
  }

  /** Runs one statement in the server's database. */
  const sql = async (text: string): Promise<void> => {
    const client = new Client(databaseUrl)
    await client.connect()
    await client.query(text).finally(() => client.end())
  }

  return {
    api,
    chromium,
    gmail,
    google,
    hostile: Hostile.email(trapped.url),
    idem,
    signedIn,
    slack,
    sql,
    trap: trapped
  }
})

export class ServerAndBrowser extends Context.Service<ServerAndBrowser, Effect.Success<typeof make>>()(
  "test/dashboard/ServerAndBrowser"
) {
  static readonly layer = Layer.effect(ServerAndBrowser, make)
}
