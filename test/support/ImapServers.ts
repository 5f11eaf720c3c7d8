/**
 * Dovecot for tests (Debian's `dovecot-imapd`, which `.ci/servers` installs). It has its own loopback port, keeps its
 * configuration, mail and state in a temporary folder, and ends with the test's scope. All users have the same
 * password.
 */
import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { ImapFlow } from "imapflow"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { freePort } from "./FreePort.ts"

/**
 * Variants of one server, each on its own loopback address: all of Dovecot's features; no QRESYNC; no mod-sequences and
 * no LIST-STATUS; and mdbox with `.` between the levels of names.
 */
const addresses = {
  qresync: "127.0.0.1",
  condstore: "127.0.0.2",
  plain: "127.0.0.3",
  mdbox: "127.0.0.4"
} as const
export type Variant = keyof typeof addresses

export interface Options {
  /** The most connections of one user and address. */
  readonly connections?: number
  /** The mechanism for access tokens, and the URL at which the server looks up a token's user (RFC 7662). */
  readonly tokens?: { readonly mechanism: "xoauth2" | "oauthbearer"; readonly introspection: string }
}

export interface Running {
  readonly port: number
  readonly folder: string
  readonly config: (variant?: Variant) => Record<string, unknown>
  readonly credentials: (user: string) => { readonly username: string; readonly password: string }
  /** Connects a separate client, with which a test changes mail as other clients would. */
  readonly client: (user: string, variant?: Variant) => Effect.Effect<ImapFlow, never, Scope.Scope>
  /** Runs doveadm, and returns its output. */
  readonly doveadm: (...args: ReadonlyArray<string>) => string
}

export const password = "correct horse"

const program = (name: string): string | undefined =>
  ["/usr/sbin", "/usr/bin"].map((folder) => Path.join(folder, name)).find((file) => Fs.existsSync(file))

/** Returns why Dovecot can't be run here; undefined if it can. */
export const missing = (): string | undefined => {
  const dovecot = program("dovecot")
  if (process.getuid?.() !== 0) return "dovecot needs root to run as another user"
  if (dovecot === undefined) return "dovecot-imapd is not installed (.ci/servers installs it)"
  const version = execFileSync(dovecot, ["--version"], { encoding: "utf8" })
  return version.startsWith("2.4.") ? undefined : `dovecot ${version} has another configuration: 2.4 is needed`
}

/** https://doc.dovecot.org/2.4.1/core/config/auth/databases/oauth2.html */
const oauth2 = (introspection: string): string => `
oauth2 {
  introspection_mode = post
  introspection_url = ${introspection}
  force_introspection = yes
  username_attribute = username
  active_attribute = active
  active_value = true
}`

const settings = (folder: string, port: number, options: Options): string => `
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
protocols = imap
ssl = yes
ssl_server_cert_file = ${folder}/cert.pem
ssl_server_key_file = ${folder}/key.pem
auth_allow_cleartext = yes
auth_mechanisms = plain login ${options.tokens?.mechanism ?? ""}
auth_failure_delay = 0
mail_driver = maildir
mail_path = ${folder}/mail/%{user}
mail_home = ${folder}/home/%{user}
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
mail_fsync = never
mail_max_userip_connections = ${options.connections ?? 20}
passdb static {
  password = ${password}
}
userdb static {
}
${options.tokens === undefined ? "" : oauth2(options.tokens.introspection)}
service imap-login {
  process_min_avail = 1
  inet_listener imap {
    listen = ${Object.values(addresses).join(" ")}
    port = ${port}
  }
  inet_listener imaps {
    port = 0
  }
}
# Else the master ends processes that it takes for idle, in the middle of a command on a busy machine.
service imap {
  idle_kill_interval = infinite
}
service stats {
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Trash {
    special_use = \\Trash
  }
  mailbox Junk {
    special_use = \\Junk
  }
}
local ${addresses.condstore} {
  imap_capability {
    QRESYNC = no
  }
}
local ${addresses.plain} {
  imap_capability {
    QRESYNC = no
    CONDSTORE = no
    LIST-STATUS = no
  }
}
local ${addresses.mdbox} {
  mail_driver = mdbox
  namespace inbox {
    separator = .
  }
}
`

const certificate = (folder: string): string => {
  execFileSync(
    "openssl",
    // prettier-ignore
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-keyout", Path.join(folder, "key.pem"), "-out", Path.join(folder, "cert.pem"), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
    { stdio: "ignore" }
  )
  return Fs.readFileSync(Path.join(folder, "cert.pem"), "utf8")
}

const greeting = (port: number): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.once("data", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

/** Creates a temporary folder for a server that runs as another user. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-imap-"))
    Fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

/** Starts a server in the foreground, waits until it greets, and ends it with the scope. */
export const start = Effect.fnUntraced(function* (
  command: string,
  args: ReadonlyArray<string>,
  port: number,
  env: NodeJS.ProcessEnv = process.env
) {
  const output: Array<string> = []
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env })
      child.stdout.on("data", (chunk) => output.push(String(chunk)))
      child.stderr.on("data", (chunk) => output.push(String(chunk)))
      return child
    }),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )
  const started = Effect.suspend(() =>
    child.exitCode === null ? greeting(port) : Effect.die(new Error(`${command} ended: ${output.join("")}`))
  )
  yield* Effect.retry(started, { times: 2400, schedule: Schedule.spaced("25 millis") }).pipe(
    Effect.mapError(() => new Error(`${command} did not start: ${output.join("")}`)),
    Effect.orDie
  )
})

/** Connects a client without TLS, which stays logged in until the scope ends. */
export const connected = (host: string, port: number, user: string): Effect.Effect<ImapFlow, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new ImapFlow({
        host,
        port,
        secure: false,
        doSTARTTLS: false,
        auth: { user, pass: password },
        logger: false,
        // ImapFlow drops a connection if the server sends data before the client has switched to compression.
        disableCompression: true,
        disableAutoIdle: true
      })
      await client.connect()
      return client
    }),
    (client) => Effect.promise(async () => client.usable && client.logout())
  )

export const run = Effect.fnUntraced(function* (options: Options = {}): Effect.fn.Return<Running, never, Scope.Scope> {
  const folder = yield* temporaryFolder
  for (const name of ["mail", "home"]) {
    Fs.mkdirSync(Path.join(folder, name))
    Fs.chmodSync(Path.join(folder, name), 0o777)
  }
  const port = yield* freePort
  const pem = certificate(folder)
  const file = Path.join(folder, "dovecot.conf")
  Fs.writeFileSync(file, settings(folder, port, options))
  yield* start(program("dovecot") ?? "dovecot", ["-F", "-c", file], port)
  return {
    port,
    folder,
    config: (variant = "qresync") =>
      // The certificate is for localhost, which is the first address.
      variant === "qresync"
        ? { host: "localhost", port, tls: "starttls", ca: pem }
        : { host: addresses[variant], port, tls: false },
    credentials: (username) => ({ username, password }),
    client: (user, variant = "qresync") => connected(addresses[variant], port, user),
    doveadm: (...args) => execFileSync(program("doveadm") ?? "doveadm", ["-c", file, ...args], { encoding: "utf8" })
  }
})
