/**
 * Logins to Debian's servers: the number of connections, the credentials, and the identity of the server. Skipped if a
 * server is missing.
 */
import { generateKeyPairSync } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { freePort } from "../../support/FreePort.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import { testsOn, write } from "./realServer.ts"

const onPureFtpd = testsOn("pure-ftpd")
const onTls = testsOn("pure-ftpd with TLS")
const onOpenssh = testsOn("openssh")

/** Returns the account of a connection with this config, or the reason and message of its failure. */
const outcome = (source: Mirror.Source) =>
  Effect.flatMap(Mirror.open(source), ({ session }) => session.account).pipe(
    Effect.catchTag("IntegrationError", ({ message, reason }) => Effect.succeed(`${reason._tag}: ${message}`))
  )

describe("how many connections are allowed", () => {
  for (const cap of [2, 3]) {
    onPureFtpd(
      `60 files come whole from a pure-ftpd that allows ${cap}`,
      function* (server) {
        for (let index = 0; index < 60; index++) write(server, `${index}`, `${index}`)
        const opened = yield* Mirror.open(server)
        const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
        assert.strictEqual(results.size, 60)
        for (const [id, { bytes, reason }] of results) assert.strictEqual(reason ?? bytes?.toString(), id)
        assert.isAtMost(opened.calls.get("connect") ?? 0, 6)
      },
      cap
    )
  }
})

describe("who is let in, and who is trusted", () => {
  for (const [kind, test] of [
    ["pure-ftpd with TLS", onTls],
    ["vsftpd with implicit TLS", testsOn("vsftpd with implicit TLS")]
  ] as const) {
    test(`${kind}: files pass through, and only a certificate that is trusted is spoken to`, function* (server) {
      write(server, "a/file", Buffer.alloc(1_000_000, 3))
      const opened = yield* Mirror.open(server)
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
      assert.strictEqual(results.get("a/file")?.bytes?.length, 1_000_000)
      const { ca: _ca, ...withoutCa } = server.config
      const user = server.credentials.username ?? "anonymous"
      const account = `ftps://${user}@localhost:${String(server.config.port)}`
      assert.strictEqual(yield* outcome(server), account)
      assert.match(yield* outcome({ ...server, config: withoutCa }), /^Unauthorized: .*certificate is not trusted/)
      const other = { ...server.config, host: "127.0.0.1" }
      assert.match(yield* outcome({ ...server, config: other }), /^Unauthorized: .*certificate is not trusted/)
      assert.strictEqual(yield* outcome({ ...server, config: { ...withoutCa, verifyCertificate: false } }), account)
    })
  }

  onTls("a server that wants TLS is told from one that refuses the password", function* (server) {
    const config = { protocol: "ftp", host: "127.0.0.1", port: server.config.port }
    assert.match(yield* outcome({ ...server, config }), /^Unauthorized: .*"protocol": "ftps"/)
  })

  onPureFtpd("a wrong password pauses the connection, and is not repeated in the message", function* (server) {
    const credentials = { username: "mirror", password: "hunter2 é" }
    const message = yield* outcome({ ...server, credentials })
    assert.match(message, /^Unauthorized: /)
    assert.notInclude(message, "hunter2")
    const key = { username: "mirror", privateKey: "no key" }
    assert.match(yield* outcome({ ...server, credentials: key }), /^Unauthorized: .*logs in with a password/)
  })

  onOpenssh(
    "the first host key is kept, and another than the known one is refused before any login",
    function* (server) {
      const { hostKey: _hostKey, ...unknown } = server.config
      const account = `sftp://nobody@127.0.0.1:${String(server.config.port)}`
      assert.strictEqual(yield* outcome({ ...server, config: unknown }), account)
      assert.strictEqual(yield* outcome(server), account)
      const wrong = `SHA256:${"A".repeat(43)}`
      const refused = yield* outcome({ ...server, config: { ...unknown, hostKey: wrong } })
      assert.match(refused, /^Unauthorized: .*not the known key/)
      assert.include(refused, `"hostKey": "${server.fingerprint}"`)
      const kept = { ...server.credentials, knownHost: server.fingerprint }
      assert.strictEqual(yield* outcome({ ...server, config: unknown, credentials: kept }), account)
      const impostor = { ...server.credentials, knownHost: wrong }
      assert.strictEqual(yield* outcome({ ...server, config: unknown, credentials: impostor }), refused)
      const several = { ...unknown, hostKey: [wrong, server.hostKey] }
      assert.strictEqual(yield* outcome({ ...server, config: several }), account)
    }
  )

  onOpenssh(
    "a key that the server does not know pauses the connection, and is not repeated in the message",
    function* (server) {
      const privateKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"
      const message = yield* outcome({ ...server, credentials: { username: "nobody", privateKey } })
      assert.match(message, /^Unauthorized: /)
      assert.notInclude(message, "bm90IGEga2V5")
      const encoding = { type: "pkcs1", format: "pem" } as const
      const another = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export(encoding).toString()
      assert.match(
        yield* outcome({ ...server, credentials: { username: "nobody", privateKey: another } }),
        /^Unauthorized: .*authentication methods failed/
      )
    }
  )

  it.live("a server that is not there may be there next time", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      for (const protocol of ["ftp", "ftps", "sftp"]) {
        const config = { protocol, host: "127.0.0.1", port, hostKey: "SHA256:none" }
        const message = yield* outcome({ config, credentials: { username: "u", password: "p" } })
        assert.match(message, /^Transient: 127\.0\.0\.1:\d+: login: .*ECONNREFUSED/)
      }
    }).pipe(Effect.scoped)
  )
})
