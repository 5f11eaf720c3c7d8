/**
 * A first sync and a second sync of 6,046 real emails in ten mailboxes of Dovecot, compared with mbsync (isync) and
 * OfflineIMAP, which write Maildirs. Idem runs in this process and stores into PostgreSQL; the others are started for
 * each sync.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { integration } from "../../src/integrations/Imap.ts"
import * as Servers from "../support/ImapServers.ts"
import { realEmails } from "../support/realEmails.ts"
import * as Mailbox from "./Mailbox.ts"
import { scaled } from "./Scale.ts"
import { median, ratioOf, type Row } from "./Table.ts"

const rounds = 3
const messages = scaled(6046)
const folders = ["", ...Array.from({ length: 9 }, (_, index) => `.List${index}`)]
const user = "bench"

/** Fills the user's Maildir, and distributes the emails over the mailboxes in turn. */
const fill = (server: Servers.Running): void => {
  const root = Path.join(server.folder, "mail", user)
  for (const folder of folders) {
    for (const part of ["cur", "new", "tmp"]) Fs.mkdirSync(Path.join(root, folder, part), { recursive: true })
  }
  realEmails(messages).forEach((email, index) => {
    const folder = folders[index % folders.length] ?? ""
    Fs.writeFileSync(Path.join(root, folder, "cur", `${1_600_000_000 + index}.M${index}.bench:2,S`), email)
  })
  execFileSync("chown", ["-R", "mail:mail", root])
}

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeNanos
    const result = yield* effect
    return { result, seconds: Number((yield* Clock.currentTimeNanos) - before) / 1e9 }
  })

/** A program that syncs into a new folder, with its configuration and its command. */
interface Peer {
  readonly config: (folder: string, port: number, password: string) => string
  readonly command: (config: string) => readonly [string, ...ReadonlyArray<string>]
}

const mbsync: Peer = {
  config: (folder, port, password) => `
IMAPAccount a
Host 127.0.0.1
Port ${port}
User ${user}
Pass "${password}"
TLSType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path ${folder}/mail/
Inbox ${folder}/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Near
Sync Pull
SyncState *
`,
  command: (config) => ["mbsync", "-q", "-c", config, "-a"]
}

const offlineimap: Peer = {
  config: (folder, port, password) => `
[general]
accounts = a
metadata = ${folder}/state
ui = quiet
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = ${folder}/mail
[Repository r]
type = IMAP
remotehost = 127.0.0.1
remoteport = ${port}
remoteuser = ${user}
remotepass = ${password}
ssl = no
starttls = no
auth_mechanisms = LOGIN
readonly = True
maxconnections = 3
`,
  command: (config) => ["offlineimap", "-o", "-c", config]
}

const peer = Effect.fnUntraced(function* (server: Servers.Running, { command, config }: Peer) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(server.folder, "peer-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  Fs.mkdirSync(Path.join(folder, "mail"))
  const file = Path.join(folder, "config")
  Fs.writeFileSync(file, config(folder, server.port, server.credentials(user).password), { mode: 0o600 })
  const [program, ...args] = command(file)
  const sync = Effect.sync(() => execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] }))
  const first = yield* timed(sync)
  const again = yield* timed(sync)
  const stored = Fs.readdirSync(Path.join(folder, "mail"), { recursive: true, encoding: "utf8" }).filter((name) =>
    /(cur|new)\/./.test(name)
  )
  if (stored.length !== messages) return yield* Effect.die(new Error(`${program} has ${stored.length} messages`))
  return { rate: messages / first.seconds, again: again.seconds }
}, Effect.scoped)

const ours = Effect.fnUntraced(function* (server: Servers.Running, round: number) {
  const engine = yield* Engine
  const { connection } = yield* engine.connect({
    domain: "imap",
    name: `bench ${round}`,
    config: { host: "127.0.0.1", port: server.port, tls: false, compress: false },
    credentials: server.credentials(user),
    every: undefined
  })
  const sync = engine.sync(connection, poll, { spec: "", wait: true })
  const first = yield* timed(sync)
  if (first.result.counts.stored !== messages) return yield* Effect.die(new Error(JSON.stringify(first.result)))
  // A mailbox without messages is checked by two syncs; then no work is left.
  yield* sync
  const again = yield* timed(sync)
  return { rate: messages / first.seconds, again: again.seconds }
})

const isThere = (program: string): boolean => Fs.existsSync(Path.join("/usr/bin", program))

export const run = Effect.gen(function* () {
  const why = Servers.missing() ?? (isThere("mbsync") ? undefined : "mbsync (isync) is not installed")
  if (why !== undefined) {
    console.error(`imap is left out: ${why}`)
    return []
  }
  const sql = yield* SqlClient.SqlClient
  const server = yield* Servers.run()
  fill(server)
  // Lets Dovecot build its indexes, which it does when it first serves a message.
  yield* peer(server, mbsync)
  const found = { ours: [], mbsync: [], offlineimap: [] } as Record<string, Array<{ rate: number; again: number }>>
  for (let round = 0; round < rounds; round += 1) {
    found.ours?.push(yield* ours(server, round))
    yield* sql`TRUNCATE content, body`
    found.mbsync?.push(yield* peer(server, mbsync))
    if (isThere("offlineimap")) found.offlineimap?.push(yield* peer(server, offlineimap))
  }
  const rates = (name: string) => (found[name] ?? []).map(({ rate }) => rate)
  const again = (name: string) => (found[name] ?? []).map((one) => one.again)
  const row = (what: string, name: string, goals: boolean): ReadonlyArray<Row> => [
    {
      what: `  ${what}`,
      value: median(rates(name)),
      unit: "messages/s",
      ratio: ratioOf(rates("ours"), rates(name)),
      ...(goals ? { goal: { atLeast: 0.9 } } : {})
    },
    {
      what: `  ${what}, nothing new`,
      value: median(again(name)) * 1000,
      unit: "ms",
      ratio: ratioOf(again("ours"), again(name)),
      ...(goals ? { goal: { atMost: 1 } } : {})
    }
  ]
  return [
    {
      what: `IMAP, first sync: ${messages.toLocaleString("en")} real emails`,
      value: median(rates("ours")),
      unit: "messages/s"
    },
    { what: "IMAP, nothing new", value: median(again("ours")) * 1000, unit: "ms" },
    ...row("mbsync", "mbsync", true),
    ...(isThere("offlineimap") ? row("OfflineIMAP", "offlineimap", false) : [])
  ] satisfies ReadonlyArray<Row>
}).pipe(Effect.scoped, Effect.provide(Mailbox.engineOf(integration)))
