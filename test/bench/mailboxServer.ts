/**
 * Runs an independent Gmail with real emails as a separate process: npm's `emulate`, seeded with the SpamAssassin
 * corpus in two accounts, because it limits a token to 4,999 calls. Prints its URL as the first line on stdout, and
 * ends when its stdin ends.
 *
 *     node test/bench/mailboxServer.ts [COUNT]
 */
import { createEmulator } from "emulate"
import { createServer } from "node:net"
import { realEmails } from "../support/realEmails.ts"

const count = Number(process.argv[2] ?? Number.POSITIVE_INFINITY)

const emails = realEmails(count)

const port = await new Promise<number>((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const address = probe.address()
    probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
  })
})

const users = ["one@example.com", "two@example.com"]
const newest = Date.UTC(2026, 0, 1)
const emulator = await createEmulator({
  service: "google",
  port,
  seed: {
    tokens: Object.fromEntries(users.map((login) => [login, { login, scopes: [] }])),
    google: {
      users: users.map((email) => ({ email, name: email })),
      messages: emails.map((raw, index) => ({
        id: `mail${String(index).padStart(5, "0")}`,
        user_email: users[index % users.length] ?? "",
        raw: Buffer.from(raw).toString("base64url"),
        label_ids: ["INBOX"],
        internal_date: new Date(newest - index * 60_000).toISOString()
      }))
    }
  }
})
process.stdout.write(`${JSON.stringify({ url: emulator.url, users, messages: emails.length })}\n`)
process.stdin.resume()
process.stdin.on("end", () => void emulator.close().then(() => process.exit(0)))
