/** TLS to a database, as the parameters of its URL ask for it. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import * as Database from "../../src/stores/Database.ts"

/** Creates a key and a self-signed certificate for localhost. */
const certificate = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-tls-"))
    const [key, cert] = [Path.join(folder, "key.pem"), Path.join(folder, "cert.pem")]
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    execFileSync("openssl", ["req", "-x509", ...newKey, "-days", "30", "-keyout", key, "-out", cert, ...names], {
      stdio: "ignore"
    })
    return { folder, file: cert, key: Fs.readFileSync(key), cert: Fs.readFileSync(cert) }
  }),
  ({ folder }) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

/** Listens on a free port, and answers the first message, which asks for TLS, with `answer`. */
const listen = (answer: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = Net.createServer((socket) => {
        socket.on("error", () => socket.destroy())
        socket.once("data", () => answer(socket))
      })
      await once(server.listen(0, "127.0.0.1"), "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => (server.address() as Net.AddressInfo).port))

const failureAt = (port: number, query: string) => {
  const env = { DATABASE_URL: `postgresql://me:secret@localhost:${port}/mail${query}` }
  const layer = Layer.provide(Database.layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
  return Effect.map(Effect.flip(Effect.provide(Database.Database, layer)), ({ message }) => message)
}

describe("the URL of a database", () => {
  it.live("names the certificate authorities that the server is verified by", () =>
    Effect.gen(function* () {
      const { cert, file, key } = yield* certificate
      const port = yield* listen((socket) => {
        socket.write("S")
        const secure = new Tls.TLSSocket(socket, { key, cert, isServer: true })
        secure.on("error", () => socket.destroy())
        secure.once("data", () => secure.destroy())
      })
      assert.match(yield* failureAt(port, "?sslmode=require"), /self-signed certificate/)
      assert.match(yield* failureAt(port, "?sslmode=require&sslrootcert=system"), /self-signed certificate/)
      const query = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(file)}`
      assert.match(yield* failureAt(port, query), /closed/)
    }).pipe(Effect.scoped)
  )

  it.live("requires TLS with ssl=true, as with sslmode=require", () =>
    Effect.gen(function* () {
      const port = yield* listen((socket) => socket.end("N"))
      for (const query of ["?ssl=true", "?sslmode=require"]) {
        assert.match(yield* failureAt(port, query), /does not support TLS/)
      }
    }).pipe(Effect.scoped)
  )

  it.live("has by default the user of the system, and the database of that name", () =>
    Effect.gen(function* () {
      const env = { DATABASE_URL: "postgresql://127.0.0.1:1" }
      const layer = Layer.provide(Database.layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      const { message } = yield* Effect.flip(Effect.provide(Database.Database, layer))
      const { username } = Os.userInfo()
      assert.strictEqual(message, `the database ${username} at 127.0.0.1:1 can't be used: nothing listens there`)
    })
  )
})
