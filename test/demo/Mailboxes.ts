/**
 * The demo's data: an emulated Gmail (npm's `emulate`, on loopback) with two mailboxes, and Idem in a separate folder.
 */
import * as Effect from "effect/Effect"
import { createEmulator } from "emulate"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fetch } from "../support/Fetch.ts"
import { freePort } from "../support/FreePort.ts"

/**
 * Makes an email in the form of Gmail, because the emulator's own emails have an empty line in the middle of their
 * header.
 */
const raw = (from: string, to: string, subject: string, text: string) =>
  Buffer.from(`From: ${from}\r\nTo: ${to}\r\nSubject: ${subject}\r\n\r\n${text}\r\n`).toString("base64url")

/** Makes the emails of one account, newest first. */
const mailbox = (user: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    id: `${user.split("@")[0]}-${String(index).padStart(4, "0")}`,
    user_email: user,
    raw: raw(
      `friend${index % 7}@example.com`,
      user,
      `Letter ${index + 1}`,
      `This is letter ${index + 1}. `.repeat(1 + (index % 20))
    ),
    label_ids: ["INBOX"],
    internal_date: new Date(Date.UTC(2026, 5, 1) - index * 3_600_000).toISOString()
  }))

const folder = await mkdtemp(join(tmpdir(), "idem-demo-"))
const me = "me@example.com"
const archive = "archive@example.com"
const gmail = await createEmulator({
  service: "google",
  port: await Effect.runPromise(freePort),
  seed: {
    tokens: { "token-me": { login: me, scopes: [] }, "token-archive": { login: archive, scopes: [] } },
    google: {
      users: [
        { email: me, name: "Me" },
        { email: archive, name: "Archive" }
      ],
      messages: [...mailbox(me, 48), ...mailbox(archive, 400)]
    }
  }
})

/** Starts an `idem` command, as a person types it. */
export const start = (...args: ReadonlyArray<string>) =>
  spawn(process.execPath, ["src/main.ts", ...args, "--json"], {
    cwd: join(import.meta.dirname, "../.."),
    env: {
      ...process.env,
      DATABASE_URL: undefined,
      IDEM_API_TOKEN: undefined,
      IDEM_DATA_DIR: folder,
      IDEM_SECRET_KEY: undefined,
      PORT: "0"
    },
    stdio: ["ignore", "pipe", "pipe"]
  })

export type Answer = Readonly<Record<string, unknown>>

export const idem = (...args: ReadonlyArray<string>) =>
  new Promise<Answer>((resolve, reject) => {
    const child = start(...args)
    let out = ""
    let err = ""
    child.stdout.on("data", (chunk) => (out += String(chunk)))
    child.stderr.on("data", (chunk) => (err += String(chunk)))
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(out) as Answer)
      else reject(new Error(`idem ${args[0]} ended with ${code}: ${err || out}`))
    })
  })

export const send = (subject: string) =>
  fetch(`${gmail.url}/gmail/v1/users/me/messages`, {
    method: "POST",
    headers: { authorization: "Bearer token-me", "content-type": "application/json" },
    body: JSON.stringify({
      raw: raw("new@example.com", me, subject, "Hello"),
      labelIds: ["INBOX", "UNREAD"]
    })
  })

export const connect = (name: string, token: string, unitsPerMinute: number) => {
  const config = JSON.stringify({ rootUrl: gmail.url, quota: { unitsPerMinute } })
  const credentials = JSON.stringify({ accessToken: token })
  return idem("connect", "gmail", "--name", name, "--config", config, "--credentials", credentials)
}

/** Ends the emulated Gmail, and removes the mirrored data. */
export const close = async (): Promise<void> => {
  await gmail.close()
  await rm(folder, { recursive: true, force: true })
}
