/**
 * OAuth providers: npm's `emulate` for Google, Slack and Linear, a simulated person without a browser, and a stand-in
 * that misbehaves.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { createEmulator } from "emulate"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { fetch } from "./Fetch.ts"
import { freePort } from "./FreePort.ts"

/**
 * Agrees as the account on the button with this text (or on the first button), and returns the URL to which the
 * provider redirects.
 */
export const agree = async (authorizationUrl: string, account = ""): Promise<URL> => {
  const page = await fetch(authorizationUrl)
  const html = await page.text()
  const forms = [...html.matchAll(/<form[^>]*action="([^"]+)"[^>]*>(.*?)<\/form>/gs)]
  const form = forms.find(([whole]) => whole.includes(account))
  if (form === undefined) throw new Error(`the provider shows no such account: ${html.slice(0, 500)}`)
  const text = (escaped: string) =>
    escaped.replaceAll("&amp;", "&").replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&#x27;", "'")
  const fields = [...(form[2] ?? "").matchAll(/name="([^"]+)"\s+value="([^"]*)"/g)].map(
    ([, name = "", value = ""]) => [name, text(value)] as [string, string]
  )
  const answer = await fetch(new URL(text(form[1] ?? ""), authorizationUrl), {
    method: "POST",
    body: new URLSearchParams(fields),
    redirect: "manual"
  })
  const location = answer.headers.get("location")
  if (location === null) throw new Error(`the provider does not send back: ${answer.status}`)
  return new URL(location)
}

const emulator = (service: "google" | "linear" | "slack", seed: Record<string, unknown>) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const started = yield* Effect.acquireRelease(
      Effect.promise(() => createEmulator({ service, port, seed })),
      (one) => Effect.promise(() => one.close())
    )
    return started.url
  })

export const client = { clientId: "idem-client", clientSecret: "GOCSPX-s3cret-of-the-client" }

/** Starts a Google with one account, and a client that is registered with these redirect URIs. */
export const google = (redirectUris: ReadonlyArray<string>) =>
  emulator("google", {
    google: {
      users: [{ email: "me@example.com", name: "Me" }],
      messages: [
        { id: "m1", user_email: "me@example.com", from: "a@example.com", to: "me@example.com", subject: "Hi" }
      ],
      oauth_clients: [
        {
          client_id: client.clientId,
          client_secret: client.clientSecret,
          name: "Idem",
          redirect_uris: [...redirectUris]
        }
      ]
    }
  })

export const slack = (redirectUris: ReadonlyArray<string>) =>
  emulator("slack", {
    slack: {
      channels: [{ name: "general" }],
      users: [{ name: "ann", real_name: "Ann", email: "ann@example.com" }],
      oauth_apps: [
        {
          client_id: client.clientId,
          client_secret: client.clientSecret,
          name: "Idem",
          redirect_uris: [...redirectUris]
        }
      ]
    }
  })

/** Starts a Linear with one team, and the token `t0ken` that may read and write. */
export const linear = (redirectUris: ReadonlyArray<string>) =>
  emulator("linear", {
    tokens: { t0ken: { login: "ann", scopes: [] } },
    linear: {
      users: [{ id: "ann", name: "Ann", email: "ann@example.com" }],
      teams: [{ id: "team", key: "ENG", name: "Engineering" }],
      tokens: [{ token: "t0ken", user: "ann", scopes: ["read", "write"] }],
      oauth_apps: [
        {
          client_id: client.clientId,
          client_secret: client.clientSecret,
          name: "Idem",
          redirect_uris: [...redirectUris],
          scopes: ["read"]
        }
      ]
    }
  })

/** Starts a token endpoint at `/oauth2/token` that responds as the test scripts it, and counts requests. */
export const tokenEndpoint = Effect.gen(function* () {
  const state: {
    answer: { readonly status: number; readonly body: string } | "hang"
    forms: Array<URLSearchParams>
  } = { answer: { status: 500, body: "" }, forms: [] }
  const asked = yield* Queue.unbounded<void>()
  const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) => {
    let body = ""
    request.on("data", (chunk) => (body += chunk))
    request.on("end", () => {
      if (request.url !== "/oauth2/token") {
        response.writeHead(404).end()
        return
      }
      state.forms.push(new URLSearchParams(body))
      Queue.offerUnsafe(asked, undefined)
      if (state.answer === "hang") return
      response.writeHead(state.answer.status, { "content-type": "application/json" }).end(state.answer.body)
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  /** Waits for the next request. */
  return Object.assign(state, {
    asked: Queue.take(asked),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
})
