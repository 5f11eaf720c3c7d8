/**
 * The main job, end to end: a Gmail mailbox (npm's `emulate`, on loopback) mirrored by the real commands into the database
 * that Idem starts itself, in a folder that is removed afterwards. Each step checks what it shows; the exit code is 0 only
 * if each did what it says.
 */
import { createEmulator } from "emulate"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { styleText } from "node:util"

const dim = (text: string) => styleText("dim", text)

/** Mail of one account, newest first. */
const mailbox = (user: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    id: `${user.split("@")[0]}-${String(index).padStart(4, "0")}`,
    user_email: user,
    from: `friend${index % 7}@example.com`,
    to: user,
    subject: `Letter ${index + 1}`,
    body_text: `This is letter ${index + 1}. `.repeat(1 + (index % 20)),
    label_ids: ["INBOX"],
    internal_date: new Date(Date.UTC(2026, 5, 1) - index * 3_600_000).toISOString()
  }))

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no free port"))
      )
    })
  })

const folder = await mkdtemp(join(tmpdir(), "idem-demo-"))
const me = "me@example.com"
const archive = "archive@example.com"
const gmail = await createEmulator({
  service: "google",
  port: await freePort(),
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

/** An `idem` command, as a person types it. */
const start = (...args: ReadonlyArray<string>) =>
  spawn(process.execPath, ["src/main.ts", ...args, "--json"], {
    env: { ...process.env, IDEM_DATA_DIR: folder, DATABASE_URL: undefined, IDEM_SECRET_KEY: undefined },
    stdio: ["ignore", "pipe", "pipe"]
  })

type Answer = Readonly<Record<string, unknown>>

const idem = (...args: ReadonlyArray<string>) =>
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

const title = (text: string) => console.log(`\n${styleText("bold", text)}`)

/** Shows a sync's numbers and checks those that the step promises. */
const shows = (result: Answer, expected: Answer) => {
  const names = ["listed", "existing", "stored", "unchanged", "downloads", "apiCalls"]
  console.log(`  ${names.map((name) => `${name} ${String(result[name])}`).join(dim("  ·  "))}`)
  for (const [name, value] of Object.entries(expected)) {
    if (result[name] !== value) throw new Error(`${name} should be ${String(value)}, but is ${String(result[name])}`)
  }
}

const send = (subject: string) =>
  fetch(`${gmail.url}/gmail/v1/users/me/messages`, {
    method: "POST",
    headers: { authorization: "Bearer token-me", "content-type": "application/json" },
    body: JSON.stringify({
      raw: Buffer.from(`From: new@example.com\r\nTo: ${me}\r\nSubject: ${subject}\r\n\r\nHello\r\n`).toString(
        "base64url"
      ),
      labelIds: ["INBOX", "UNREAD"]
    })
  })

const connect = (name: string, token: string, unitsPerMinute: number) => {
  const config = JSON.stringify({ rootUrl: gmail.url, quota: { unitsPerMinute } })
  const credentials = JSON.stringify({ accessToken: token })
  return idem("connect", "gmail", "--name", name, "--config", config, "--credentials", credentials)
}

const stored = async (name: string) => {
  const status = (await idem("status", name)) as { connections?: ReadonlyArray<{ totals: { stored: number } }> }
  return status.connections?.[0]?.totals.stored ?? 0
}

const demo = async () => {
  title("1  A mailbox of 48 messages is connected and synced")
  await connect("me", "token-me", 1e9)
  shows(await idem("sync", "me"), { stored: 48, downloads: 48 })

  title("2  The same again: one call, nothing to do")
  shows(await idem("sync", "me"), { stored: 0, downloads: 0, apiCalls: 1 })

  title("3  Three messages arrive: only those are downloaded")
  for (const subject of ["one", "two", "three"]) await send(subject)
  shows(await idem("sync", "me"), { stored: 3, downloads: 3 })

  title("4  One id is forced: downloaded again, found unchanged, nothing listed")
  shows(await idem("sync", "me", "--force-id", "me-0007"), { listed: 0, forced: 1, unchanged: 1, downloads: 1 })

  title("5  A first sync of 400 messages is killed in the middle, and run again")
  await connect("archive", "token-archive", 100_000)
  const victim = start("sync", "archive")
  const ended = new Promise((resolve) => victim.on("close", resolve))
  let before = 0
  while (before < 100 && victim.exitCode === null) before = await stored("archive")
  victim.kill("SIGKILL")
  await ended
  before = await stored("archive")
  console.log(dim(`  kill -9 with ${before} of 400 stored`))
  const resumed = await idem("sync", "archive")
  shows(resumed, { status: "succeeded", stored: 400 - before, downloads: 400 - before })
  if (before === 0 || before === 400) throw new Error("the run was not killed in the middle")

  title("6  What is stored")
  const { contents } = (await idem("contents", "me", "--limit", "4")) as { contents: ReadonlyArray<Answer> }
  for (const row of contents)
    console.log(`  ${String(row["externalId"])}  ${String(row["title"])}  ${dim(String(row["hash"]).slice(0, 12))}`)
  if ((await stored("me")) !== 51 || (await stored("archive")) !== 400) throw new Error("not everything is stored once")
  console.log(dim("  51 in me, 400 in archive, each once"))
}

try {
  await demo()
  console.log(`\n${styleText("green", "Each step did what it says.")}`)
} catch (error) {
  console.error(`\n${styleText("red", error instanceof Error ? error.message : String(error))}`)
  process.exitCode = 1
} finally {
  await gmail.close()
  await rm(folder, { recursive: true, force: true })
}
