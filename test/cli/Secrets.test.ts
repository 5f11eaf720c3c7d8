/** After runs, no secret is stored or printed in clear text. */
import { spawn } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import ssh2 from "ssh2"
import * as FtpStandIn from "../support/ftp/FtpStandIn.ts"
import * as SftpStandIn from "../support/ftp/SftpStandIn.ts"
import * as GmailServer from "../support/GmailServer.ts"
import { type Ended, programFile } from "../support/IdemProcess.ts"
import * as Database from "../support/Postgres.ts"
import * as SlackServer from "../support/SlackServer.ts"
import * as CommandLine from "./CommandLine.ts"

/** Serves as a process, with the most verbose output, until all due connections were polled. */
const serve = (env: Readonly<Record<string, string>>) =>
  new Promise<Ended>((resolve) => {
    const child = spawn(process.execPath, [programFile("src/main.ts"), "serve", "--log-level", "trace"], {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], PORT: "0", ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => {
      stdout += chunk
      if (stdout.includes("serving")) child.kill("SIGTERM")
    })
    child.stderr.on("data", (chunk) => (stderr += chunk))
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

/** Returns all rows of all tables, as text. */
const dump = (url: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* sql<{ readonly name: string }>`SELECT table_name AS name FROM information_schema.tables
      WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1`
    const rows = yield* Effect.forEach(tables, ({ name }) =>
      Effect.map(sql<{ readonly row: string }>`SELECT t::text AS row FROM ${sql(name)} AS t`, (found) => [
        `table ${name}: ${found.length}`,
        ...found.map(({ row }) => row)
      ])
    )
    return rows.flat().join("\n")
  }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })))

describe("secrets", () => {
  it.live("of connections, sign-ins and keys are in no log, no answer, no error and no table", () =>
    Effect.gen(function* () {
      const gmail = yield* GmailServer.make()
      gmail.rotate = true
      gmail.mailbox.add({ labelIds: ["INBOX"] })
      const secret = (name: string) => `${name}-${randomBytes(12).toString("hex")}`
      const [clientSecret, refreshToken, wrongPassword, wrongToken] = [
        secret("client"),
        secret("refresh"),
        secret("password"),
        secret("xoxb")
      ]
      gmail.grant(refreshToken)
      const slack = yield* SlackServer.make()
      const ftp = yield* FtpStandIn.run({
        files: new Map([["a.txt", { bytes: Buffer.from("a"), modified: "20260101000000" }]])
      })
      const password = secret("sftp")
      const sftp = yield* SftpStandIn.run({ password, method: "password", entries: [] })
      const privateKey = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 }).private
      const [oldKey, newKey] = [randomBytes(32), randomBytes(32)]
      const url = yield* Database.makeUrl
      const env = { DATABASE_URL: url, IDEM_SECRET_KEY: oldKey.toString("base64"), IDEM_DEBUG: "1" }
      const ended: Array<Ended> = []
      const app = CommandLine.ofApp()
      const idem = (args: ReadonlyArray<string>, more: Readonly<Record<string, string>> = {}) =>
        app([...args, "--log-level", "trace"], { env: { ...env, ...more } }).pipe(
          Effect.map((one) => ({ ...one, stdout: one.stdout.toString() })),
          Effect.tap((one) => Effect.sync(() => ended.push(one)))
        )
      const connect = (domain: string, name: string, config: unknown, credentials: unknown) => [
        "connect",
        domain,
        "--name",
        name,
        "--config",
        JSON.stringify(config),
        "--credentials",
        JSON.stringify(credentials)
      ]
      const grant = { clientId: "client", clientSecret, refreshToken }
      yield* Effect.all(
        [
          idem(connect("gmail", "mail", { rootUrl: gmail.url }, grant)),
          idem(connect("slack", "team", { slackApiUrl: slack.url }, { token: slack.token })),
          idem(connect("ftp", "files", ftp.source.config, ftp.source.credentials)),
          idem(connect("ftp", "safe", sftp.source.config, sftp.source.credentials)),
          // Connections that are refused by Idem or by the source.
          idem(connect("ftp", "no", sftp.source.config, { username: "mirror", password: wrongPassword })),
          idem(connect("ftp", "no", sftp.source.config, { username: "mirror", privateKey })),
          idem(connect("gmail", "no", { rootUrl: gmail.url }, { ...grant, refreshToken: wrongToken })),
          idem(connect("slack", "no", { slackApiUrl: slack.url }, { tokne: wrongToken, [wrongToken]: "token" }))
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(
        ended.map(({ code }) => code).toSorted(),
        [0, 0, 0, 0, 1, 1, 1, 2],
        ended.map(({ stderr }) => stderr).join("\n")
      )
      gmail.expireAccessTokens()
      const synced = yield* idem(["sync", "mail", "--json"])
      assert.strictEqual(synced.code, 0, synced.stderr)
      gmail.revoke()
      assert.strictEqual((yield* idem(["sync", "mail", "--force"])).code, 1)
      ended.push(yield* Effect.promise(() => serve(env)))
      const keys = { IDEM_SECRET_KEY: newKey.toString("hex"), IDEM_SECRET_KEY_OLD: oldKey.toString("base64") }
      const rekeyed = yield* idem(["rekey", "--json"], keys)
      assert.strictEqual(JSON.parse(rekeyed.stdout).rekeyed.resealed, 4, rekeyed.stderr)
      // With the replaced key.
      assert.strictEqual((yield* idem(["sync", "files"])).code, 1)
      // Reading does not require the key.
      const status = yield* idem(["status", "--json"], { IDEM_SECRET_KEY: "" })
      assert.strictEqual(status.code, 0, status.stderr)
      for (const [secretKey, problem] of [
        ["", /IDEM_SECRET_KEY.*is not set.*openssl rand/],
        ["c2hvcnQ=", /IDEM_SECRET_KEY is not 32 bytes.*openssl rand/]
      ] as const) {
        for (const command of [["sync", "team"], ["sync", "team", "--dry-run"], ["retry", "team"], ["serve"]]) {
          const refused = yield* idem(command, { IDEM_SECRET_KEY: secretKey })
          assert.strictEqual(refused.code, 2, `${command.join(" ")}: ${refused.stderr}`)
          assert.match(refused.stderr, problem)
        }
      }

      const tables = yield* dump(url)
      assert.match(tables, /table connection: 4\n/)
      const given = [clientSecret, refreshToken, wrongPassword, wrongToken, slack.token, password, privateKey]
      const issued = gmail.seen.flatMap(({ token }) => token ?? [])
      assert.isNotEmpty(issued)
      const key = privateKey.split("\n").filter((line) => line.length > 40)
      const secrets = [
        ...[...given, ...issued, ...key].map((text) => Buffer.from(text)),
        oldKey,
        newKey,
        Buffer.from(decodeURIComponent(new URL(url).password))
      ]
      const places = [...ended.flatMap(({ stderr, stdout }) => [stdout, stderr]), tables]
      for (const bytes of secrets) {
        for (const form of [bytes.toString(), bytes.toString("hex"), bytes.toString("base64")]) {
          for (const place of places) {
            const at = place.indexOf(form)
            assert.strictEqual(at, -1, `${form} in: …${place.slice(Math.max(0, at - 200), at + 200)}…`)
          }
        }
      }
    }).pipe(Effect.scoped)
  )
})
