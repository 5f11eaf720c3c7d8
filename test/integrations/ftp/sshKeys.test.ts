/** Private keys, the ssh-agent and known_hosts. */
import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import ssh2 from "ssh2"
import * as Network from "../../../src/contract/Network.ts"
import * as KnownHosts from "../../../src/integrations/ftp/KnownHosts.ts"
import * as Servers from "../../support/FtpServers.ts"
import { skips } from "../../support/Requirement.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/SftpStandIn.ts"
import { testsOn } from "./realServer.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-ssh-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

const environment = (env: Record<string, string>) =>
  Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env)))

describe("private keys", () => {
  const encrypted = ssh2.utils.generateKeyPairSync("ecdsa", {
    bits: 256,
    passphrase: "s3cret",
    cipher: "aes256-ctr",
    rounds: 16
  })
  const plain = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 })
  const config = { protocol: "sftp", host: "127.0.0.1", port: 1 }
  for (const [name, credentials, expected] of [
    [
      "an encrypted key without its passphrase",
      { privateKey: encrypted.private },
      /is encrypted: give its "passphrase"/
    ],
    [
      "an encrypted key with a wrong passphrase",
      { privateKey: encrypted.private, passphrase: "hunter2" },
      /"passphrase" in the credentials does not open/
    ],
    ["a public key", { privateKey: plain.public }, /is no private key|is a public key/],
    ["the path of a key", { privateKey: "/home/me/.ssh/id_ed25519" }, /is no private key.*"@FILE"/],
    ["a key that is cut short", { privateKey: plain.private.slice(0, 80) }, /can't be read/]
  ] as const) {
    it.live(`${name} is refused in words that say so, before the server is asked`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Mirror.open({ config, credentials: { username: "me", ...credentials } }))
        assert.match(error.message, expected)
        assert.notInclude(error.message, "hunter2")
        assert.notInclude(error.message, "BEGIN")
      }).pipe(Effect.scoped)
    )
  }
})

describe("known_hosts", () => {
  const key = "ssh-ed25519 AAAA"
  for (const [line, host, port, isKnown] of [
    [`files.example.com,10.0.0.1 ${key}`, "Files.example.com", 22, true],
    [`files.example.com ${key}`, "files.example.com", 2222, false],
    [`[files.example.com]:2222 ${key}`, "files.example.com", 2222, true],
    [`*.example.com,!bad.example.com ${key}`, "files.example.com", 22, true],
    [`*.example.com,!bad.example.com ${key}`, "bad.example.com", 22, false],
    [`files.example.com ${key}`, "filesxexample.com", 22, false],
    [`@revoked files.example.com ${key}`, "files.example.com", 22, false],
    [`# files.example.com ${key}`, "files.example.com", 22, false],
    // The hash of another host name.
    [`|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|nPSrQ6sf8mkCjSO9bzDhyjuU4ho= ${key}`, "other", 22, false]
  ] as const) {
    it(`${line} is ${isKnown ? "" : "not "}a line of ${host}:${port}`, () => {
      assert.deepStrictEqual(KnownHosts.linesOf(`${line}\n`, host, port), isKnown ? [line] : [])
    })
  }

  it.live("a hashed name is found, and another key than the known one is refused before any login", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const standIn = yield* StandIn.run({ password: "s3cret", method: "password", entries: [] })
      const { hostKey, ...config } = standIn.source.config
      const file = Path.join(home, ".ssh/known_hosts")
      Fs.mkdirSync(Path.dirname(file))
      Fs.writeFileSync(file, `[127.0.0.1]:${String(config.port)} ${String(hostKey)}\n`)
      if (!skips("hashed names of known_hosts", Servers.missing("openssh"))) {
        execFileSync(Servers.program("ssh-keygen"), ["-q", "-H", "-f", file], { stdio: "ignore" })
        assert.match(Fs.readFileSync(file, "utf8"), /^\|1\|/)
      }
      const account = Effect.scoped(
        Effect.flatMap(Mirror.open({ ...standIn.source, config }), ({ session }) => session.account)
      ).pipe(environment({ HOME: home }))
      assert.match(yield* account, /^sftp:/)
      const other = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 }).public
      Fs.writeFileSync(file, `[127.0.0.1]:${String(config.port)} ${other}\n`)
      assert.match((yield* Effect.flip(account)).message, /host key is .*, which is not the known key/)
    }).pipe(Effect.scoped)
  )
})

describe("ssh-agent", () => {
  it.live("does not log in for a connection that was made over HTTP", () =>
    Effect.gen(function* () {
      const config = { protocol: "sftp", host: "127.0.0.1", port: 1 }
      const credentials = { username: "me", agent: true }
      const error = yield* Effect.flip(Mirror.open({ config, credentials, network: { ...Network.direct } }))
      assert.match(error.message, /not over HTTP/)
    }).pipe(Effect.scoped, environment({ SSH_AUTH_SOCK: "/nowhere" }))
  )

  testsOn("openssh")("the keys of an ssh-agent log in, and without one that is said", function* (server) {
    const folder = yield* temporaryFolder
    const socket = Path.join(folder, "agent")
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn(Servers.program("ssh-agent"), ["-D", "-a", socket], { stdio: "ignore" })),
      (agent) => Effect.sync(() => agent.kill())
    )
    yield* Effect.sync(() => Fs.existsSync(socket)).pipe(
      Effect.repeat({ until: (exists) => exists, schedule: Schedule.spaced("10 millis"), times: 3000 })
    )
    execFileSync(Servers.program("ssh-add"), ["-q", "-"], {
      input: server.credentials.privateKey,
      env: { ...process.env, SSH_AUTH_SOCK: socket }
    })
    const credentials = { username: server.credentials.username, agent: true }
    const account = Effect.scoped(
      Effect.flatMap(Mirror.open({ ...server, credentials }), ({ session }) => session.account)
    )
    assert.match(yield* account.pipe(environment({ SSH_AUTH_SOCK: socket })), /^sftp:/)
    assert.match((yield* Effect.flip(account.pipe(environment({})))).message, /SSH_AUTH_SOCK/)
  })
})
