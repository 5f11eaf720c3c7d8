/**
 * Cyrus IMAP for tests, in Debian's version. Debian's package conflicts with Dovecot's, so `.ci/servers` unpacks it
 * into a folder. The server has its own loopback port; its configuration, mail and state are in a temporary folder. It
 * runs until the test's scope ends. All users have the same password.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./FreePort.ts"
import * as ImapServers from "./ImapServers.ts"

const root = `${process.env.IDEM_TEST_SERVERS ?? "/var/cache/idem-test-servers"}/cyrus`
const programs = Path.join(root, "usr/lib/cyrus/bin")

/** Returns why Cyrus can't be run here; undefined if it can. */
export const missing = (): string | undefined => {
  if (process.getuid?.() !== 0) return "cyrus needs root to run as another user"
  return Fs.existsSync(Path.join(programs, "imapd"))
    ? undefined
    : "cyrus-imapd is not unpacked (.ci/servers unpacks it)"
}

const settings = (folder: string): string => `
configdirectory: ${folder}/config
partition-default: ${folder}/mail
cyrus_user: mail
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: ${folder}/passwords
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
`

const services = (folder: string, port: number): string => `
START {
}
SERVICES {
  imap cmd="${programs}/imapd -C ${folder}/imapd.conf" listen="127.0.0.1:${port}" prefork=1
}
EVENTS {
}
DAEMON {
  idled cmd="${programs}/idled -C ${folder}/imapd.conf"
}
`

/**
 * Answers like Cyrus SASL's saslauthd: reads four strings (user, password, service, realm) with their lengths, then
 * answers OK or NO.
 */
const passwords = (path: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((socket) => {
        let received = Buffer.alloc(0)
        socket.on("error", () => {})
        socket.on("data", (chunk) => {
          received = Buffer.concat([received, chunk])
          const fields: Array<string> = []
          for (let at = 0; at + 2 <= received.length;) {
            const end = at + 2 + received.readUInt16BE(at)
            if (end > received.length) return
            fields.push(received.toString("utf8", at + 2, end))
            at = end
          }
          if (fields.length === 4) socket.end(`\0\x02${fields[1] === ImapServers.password ? "OK" : "NO"}`)
        })
      })
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

export interface Running {
  readonly config: Record<string, unknown>
  readonly port: number
}

export const run: Effect.Effect<Running, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* ImapServers.temporaryFolder
  for (const name of ["config", "config/proc", "config/socket", "mail"]) Fs.mkdirSync(Path.join(folder, name))
  yield* passwords(Path.join(folder, "passwords"))
  const port = yield* freePort
  Fs.writeFileSync(Path.join(folder, "imapd.conf"), settings(folder))
  Fs.writeFileSync(Path.join(folder, "cyrus.conf"), services(folder, port))
  execFileSync("chown", ["-R", "mail:mail", folder])
  // The folder of the libraries is named after the processor architecture.
  const libraries = Fs.readdirSync(Path.join(root, "usr/lib"))
    .filter((name) => name.endsWith("-linux-gnu"))
    .map((name) => Path.join(root, "usr/lib", name))
  const args = ["-D", "-C", `${folder}/imapd.conf`, "-M", `${folder}/cyrus.conf`, "-p", `${folder}/pid`]
  yield* ImapServers.start(Path.join(programs, "master"), args, port, {
    ...process.env,
    LD_LIBRARY_PATH: [...libraries, Path.join(root, "usr/lib/cyrus/lib")].join(":")
  })
  return { config: { host: "127.0.0.1", port, tls: false }, port }
})
