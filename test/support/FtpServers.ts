/**
 * Real file servers for tests: Debian's pure-ftpd (MLSD, TLS), vsftpd (LIST only) and openssh (SFTP). Each has its own
 * loopback port, keeps its configuration and keys in a temporary folder, and ends with the test's scope. `.ci/servers`
 * installs them; `missing` reports a server that is not installed.
 */
import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { freePort } from "./FreePort.ts"

export type Kind = "pure-ftpd" | "pure-ftpd with TLS" | "vsftpd with implicit TLS" | "vsftpd" | "openssh"

/** A running server whose root is the local folder `files`. */
export interface Running {
  readonly files: string
  readonly config: Record<string, unknown> & { readonly protocol: string }
  readonly credentials: Record<string, string>
  /** Only for openssh: the host key's fingerprint, and the whole key. */
  readonly fingerprint?: string
  readonly hostKey?: string
}

/** Unprivileged owners of the files. vsftpd requires a user whose home exists. */
const nobody = { uid: 65534, gid: 65534 }

const folders = [
  ...(process.env.PATH ?? "").split(":"),
  "/usr/sbin",
  "/usr/bin",
  `${process.env.IDEM_TEST_SERVERS ?? "/var/cache/idem-test-servers"}/usr/sbin`
]

const find = (name: string): string | undefined =>
  folders.map((folder) => Path.join(folder, name)).find((file) => Fs.existsSync(file))

const programs: Record<Kind, ReadonlyArray<string>> = {
  "pure-ftpd": ["pure-ftpd", "pure-pw", "openssl"],
  "pure-ftpd with TLS": ["pure-ftpd", "pure-pw", "openssl"],
  "vsftpd with implicit TLS": ["vsftpd", "openssl"],
  vsftpd: ["vsftpd"],
  openssh: ["sshd", "ssh-keygen"]
}

/** Returns why this server can't be run here; undefined if it can. */
export const missing = (kind: Kind): string | undefined => {
  if (process.getuid?.() !== 0) return `${kind} needs root to run as another user`
  const lacking = programs[kind].filter((name) => find(name) === undefined)
  return lacking.length === 0 ? undefined : `${lacking.join(", ")} not installed (.ci/servers installs them)`
}

/** Returns the path of a program. `missing` must have found it before. */
export const program = (name: string): string => {
  const file = find(name)
  if (file === undefined) throw new Error(`${name} is not installed`)
  return file
}

/** Creates a temporary folder that other users may enter. */
const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-ftp-"))
    Fs.chmodSync(folder, 0o755)
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

const reachable = (port: number): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

/** Starts a server in the foreground, waits until it listens, and ends it with the scope. */
const start = Effect.fnUntraced(function* (
  command: string,
  args: ReadonlyArray<string>,
  port: number,
  options: { readonly uid?: number; readonly gid?: number } = {}
) {
  const output: Array<string> = []
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options })
      child.stdout.on("data", (chunk) => output.push(String(chunk)))
      child.stderr.on("data", (chunk) => output.push(String(chunk)))
      return child
    }),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  )
  yield* Effect.retry(reachable(port), { times: 2400, schedule: Schedule.spaced("25 millis") }).pipe(
    Effect.mapError(() => new Error(`${command} did not start: ${output.join("")}`)),
    Effect.orDie
  )
  // If this server has ended, another program is responding on the port.
  if (child.exitCode !== null) yield* Effect.die(new Error(`${command} ended: ${output.join("")}`))
})

const give = (path: string) => Fs.chownSync(path, nobody.uid, nobody.gid)

/** Creates a key and a self-signed certificate for localhost, in one file. */
const certificate = (folder: string): { readonly file: string; readonly pem: string } => {
  const key = Path.join(folder, "key.pem")
  const cert = Path.join(folder, "cert.pem")
  execFileSync(
    "openssl",
    // prettier-ignore
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
    { stdio: "ignore" }
  )
  const file = Path.join(folder, "both.pem")
  Fs.writeFileSync(file, Fs.readFileSync(key, "utf8") + Fs.readFileSync(cert, "utf8"), { mode: 0o600 })
  return { file, pem: Fs.readFileSync(cert, "utf8") }
}

const pureFtpd = Effect.fnUntraced(function* (folder: string, files: string, tls: boolean, perAddress = 32) {
  const port = yield* freePort
  const password = randomBytes(12).toString("hex")
  const [passwords, database] = [Path.join(folder, "passwords"), Path.join(folder, "passwords.pdb")]
  // pure-pw's own hash takes seconds, which each login would take too.
  const hash = execFileSync(program("openssl"), ["passwd", "-6", password], { encoding: "utf8" }).trim()
  Fs.writeFileSync(passwords, `mirror:${hash}:${nobody.uid}:${nobody.gid}::${files}/./::::::::::::\n`)
  execFileSync(program("pure-pw"), ["mkdb", database, "-f", passwords])
  const secure = tls ? certificate(folder) : undefined
  // prettier-ignore
  const args = ["-S", `127.0.0.1,${port}`, "-l", `puredb:${database}`, "-E", "-A", "-H", "-4", "-u", "1", "-C", String(perAddress), "-c", "64"]
  const tlsArgs = secure === undefined ? [] : ["-Y", "2", "-2", secure.file]
  yield* start(program("pure-ftpd"), [...args, ...tlsArgs], port)
  return {
    files,
    config: {
      protocol: secure === undefined ? "ftp" : "ftps",
      host: "localhost",
      port,
      ...(secure === undefined ? {} : { ca: secure.pem })
    },
    credentials: { username: "mirror", password }
  } satisfies Running
})

const vsftpd = Effect.fnUntraced(function* (folder: string, files: string, tls: boolean) {
  const port = yield* freePort
  const empty = Path.join(folder, "empty")
  Fs.mkdirSync(empty, { mode: 0o755 })
  const secure = tls ? certificate(folder) : undefined
  const settings = {
    listen: "YES",
    listen_port: port,
    listen_address: "127.0.0.1",
    background: "NO",
    anonymous_enable: "YES",
    local_enable: "NO",
    ftp_username: "daemon",
    no_anon_password: "YES",
    anon_root: files,
    anon_world_readable_only: "NO",
    secure_chroot_dir: empty,
    seccomp_sandbox: "NO",
    xferlog_enable: "NO",
    ...(secure === undefined
      ? {}
      : { ssl_enable: "YES", implicit_ssl: "YES", allow_anon_ssl: "YES", rsa_cert_file: secure.file })
  }
  const file = Path.join(folder, "vsftpd.conf")
  Fs.writeFileSync(
    file,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join("")
  )
  yield* start(program("vsftpd"), [file], port)
  const config = { host: "localhost", port }
  return {
    files,
    config:
      secure === undefined
        ? { protocol: "ftp", ...config }
        : { protocol: "ftps", ...config, ca: secure.pem, implicit: true },
    credentials: {}
  } satisfies Running
})

const openssh = Effect.fnUntraced(function* (folder: string, files: string) {
  const port = yield* freePort
  const [hostKey, userKey] = [Path.join(folder, "host"), Path.join(folder, "user")]
  for (const key of [hostKey, userKey]) {
    execFileSync(program("ssh-keygen"), ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key])
    give(key)
  }
  const settings = {
    Port: port,
    ListenAddress: "127.0.0.1",
    HostKey: hostKey,
    AuthorizedKeysFile: `${userKey}.pub`,
    PidFile: "none",
    StrictModes: "no",
    UsePAM: "no",
    PasswordAuthentication: "no",
    KbdInteractiveAuthentication: "no",
    MaxStartups: 100,
    Subsystem: "sftp internal-sftp"
  }
  const file = Path.join(folder, "sshd.conf")
  Fs.writeFileSync(
    file,
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join("")
  )
  yield* start(program("sshd"), ["-D", "-e", "-f", file], port, nobody)
  const [, fingerprint = ""] = execFileSync(program("ssh-keygen"), ["-lf", `${hostKey}.pub`], {
    encoding: "utf8"
  }).split(" ")
  return {
    files,
    config: { protocol: "sftp", host: "127.0.0.1", port, root: files, hostKey: fingerprint },
    credentials: { username: "nobody", privateKey: Fs.readFileSync(userKey, "utf8") },
    fingerprint,
    hostKey: Fs.readFileSync(`${hostKey}.pub`, "utf8")
  } satisfies Running
})

/**
 * Starts a server on an empty folder that the tests may write and the server's user may read. `perAddress` is the
 * number of connections that pure-ftpd allows for one address.
 */
export const run = Effect.fnUntraced(function* (
  kind: Kind,
  perAddress?: number
): Effect.fn.Return<Running, never, Scope.Scope> {
  const folder = yield* temporaryFolder
  const files = Path.join(folder, "files")
  Fs.mkdirSync(files, { mode: 0o755 })
  switch (kind) {
    case "pure-ftpd":
      return yield* pureFtpd(folder, files, false, perAddress)
    case "pure-ftpd with TLS":
      return yield* pureFtpd(folder, files, true)
    case "vsftpd with implicit TLS":
      return yield* vsftpd(folder, files, true)
    case "vsftpd":
      return yield* vsftpd(folder, files, false)
    case "openssh":
      return yield* openssh(folder, files)
  }
})
