/**
 * Two independent object stores that speak S3, npm's `emulate` and `s3rver`, each behind a proxy in which a test
 * injects faults. The proxy also implements listing and completing multipart uploads, which `s3rver` lacks (`emulate`
 * 0.12 has neither multipart uploads nor ranges).
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import { createEmulator } from "emulate"
import * as Crypto from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import * as Http from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { freePort } from "./FreePort.ts"

const bucket = "idem-blobs"

/**
 * The fault of a request. `midway` breaks the connection within the response's body. `gone` answers that there is no
 * such upload or object, as if another process or a rule of the bucket had removed it first.
 */
export type Fault = "SlowDown" | "reset" | "midway" | "lost answer" | "gone"

interface Order {
  readonly when: (request: Http.IncomingMessage) => boolean
  readonly fault: Fault
  left: number
}

/**
 * Returns the signature that a request must have
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html). Neither of the two
 * servers checks it.
 */
const signatureOf = (request: Http.IncomingMessage, url: URL, secret: string): string => {
  const [, date = "", region = "", signed = ""] =
    /Credential=[^/]+\/(\d+)\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+),/.exec(
      request.headers.authorization ?? ""
    ) ?? []
  const encoded = (text: string) =>
    encodeURIComponent(text).replaceAll(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
  const canonical = [
    request.method,
    url.pathname,
    Array.from(url.searchParams, ([name, value]) => `${encoded(name)}=${encoded(value)}`)
      .sort()
      .join("&"),
    ...signed.split(";").map((name) => `${name}:${String(request.headers[name] ?? "").trim()}`),
    "",
    signed,
    request.headers["x-amz-content-sha256"]
  ].join("\n")
  const scope = `${date}/${region}/s3/aws4_request`
  const text = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, Crypto.hash("sha256", canonical)].join("\n")
  const hmac = (key: string | Buffer, data: string) => Crypto.createHmac("sha256", key).update(data).digest()
  return hmac([date, region, "s3", "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${secret}`), text).toString("hex")
}

export class S3Proxy {
  url = ""
  /** Milliseconds by which the server's clock is ahead. */
  ahead = 0
  /** Milliseconds before each response. */
  latency = 0
  /** Selects the requests whose responses are held until `release`. */
  holds: Order["when"] = () => false
  readonly held: Array<() => unknown> = []
  /** Changes a listing. */
  listed: (xml: string) => string = (xml) => xml
  readonly requests: Array<string> = []
  readonly uploads = new Map<string, { readonly key: string; readonly at: number }>()
  private readonly orders: Array<Order> = []
  private readonly target: string
  private readonly key: string
  private readonly secret: string

  constructor(target: string, key: string, secret: string) {
    this.target = target
    this.key = key
    this.secret = secret
  }

  fault(fault: Fault, when: Order["when"], times = 1): void {
    this.orders.push({ fault, when, left: times })
  }

  /** Responds to all held requests. */
  release(): void {
    for (const answer of this.held.splice(0)) answer()
  }

  get unmet(): number {
    return this.orders.reduce((sum, { left }) => sum + left, 0)
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    if (this.holds(request)) this.held.push(() => request.socket.destroyed || this.answer(request, response))
    else this.answer(request, response)
  }

  private answer(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const url = new URL(request.url ?? "/", this.target)
    this.requests.push(`${request.method} ${url.pathname}${url.search}`)
    const refused = request.headers.authorization?.includes(`Credential=${this.key}/`)
      ? request.headers.authorization.endsWith(`Signature=${signatureOf(request, url, this.secret)}`)
        ? undefined
        : "SignatureDoesNotMatch"
      : "InvalidAccessKeyId"
    if (refused !== undefined) {
      request.resume()
      return void request.on("end", () => response.writeHead(403).end(`<Error><Code>${refused}</Code></Error>`))
    }
    const order = this.orders.find((each) => each.left > 0 && each.when(request))
    if (order !== undefined) order.left -= 1
    if (order?.fault === "reset") return void request.socket.resetAndDestroy()
    if (order?.fault === "SlowDown") {
      request.resume()
      return void request.on("end", () =>
        response.writeHead(503).end("<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")
      )
    }
    const uploadId = url.searchParams.get("uploadId")
    if (order?.fault === "gone") {
      const code = uploadId === null ? "NoSuchKey" : "NoSuchUpload"
      return void response.writeHead(404).end(`<Error><Code>${code}</Code></Error>`)
    }
    if (request.method === "GET" && url.searchParams.has("uploads")) {
      const all = Array.from(
        this.uploads,
        ([id, { at, key }]) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId>` +
          `<Initiated>${new Date(at).toISOString()}</Initiated></Upload>`
      )
      response.writeHead(200, { date: new Date(Date.now() + this.ahead).toUTCString() })
      return void response.end(`<ListMultipartUploadsResult>${all.join("")}</ListMultipartUploadsResult>`)
    }
    if (request.method === "DELETE" && uploadId !== null) {
      this.uploads.delete(uploadId)
      return void response.writeHead(204).end()
    }
    // S3 responds so when an ended upload is completed again; `s3rver` responds with 500.
    if (request.method === "POST" && uploadId !== null && !this.uploads.has(uploadId)) {
      request.resume()
      return void request.on("end", () => response.writeHead(404).end("<Error><Code>NoSuchUpload</Code></Error>"))
    }
    const forwarded = Http.request(
      url,
      { method: request.method, headers: request.headers, setHost: false },
      (answer) => {
        const whole = url.searchParams.has("uploads") || url.searchParams.has("list-type")
        const date = new Date(Date.now() + this.ahead).toUTCString()
        const begin = () => response.writeHead(answer.statusCode ?? 500, { ...answer.headers, date })
        if (uploadId !== null && request.method === "POST" && answer.statusCode === 200) this.uploads.delete(uploadId)
        if (order?.fault === "lost answer") {
          answer.resume()
          return void answer.on("end", () => request.socket.resetAndDestroy())
        }
        if (!whole && order?.fault !== "midway") {
          setTimeout(() => {
            begin()
            answer.pipe(response)
          }, this.latency)
          return
        }
        const chunks: Array<Buffer> = []
        answer.on("data", (chunk: Buffer) => chunks.push(chunk))
        answer.on("end", () => {
          const body = Buffer.concat(chunks)
          if (order?.fault === "midway") {
            begin()
            response.write(body.subarray(0, body.length / 2), () => request.socket.resetAndDestroy())
            return
          }
          const [, id] = /<UploadId>([^<]*)</.exec(body.toString()) ?? []
          if (id !== undefined) this.uploads.set(id, { key: url.pathname.slice(bucket.length + 2), at: Date.now() })
          const text = url.searchParams.has("list-type") ? this.listed(body.toString()) : body
          delete answer.headers["content-length"]
          begin().end(text)
        })
      }
    )
    forwarded.on("error", () => request.socket.destroy())
    request.pipe(forwarded)
  }
}

const proxyTo = Effect.fnUntraced(function* (target: string, key: string, secret: string) {
  const proxy = new S3Proxy(target, key, secret)
  const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) => proxy.handle(request, response))
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => (server.closeAllConnections(), server.close()))
  )
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return proxy
})

const emulate = Effect.gen(function* () {
  const port = yield* freePort
  const { url } = yield* Effect.acquireRelease(
    Effect.promise(() =>
      createEmulator({ service: "aws", port, seed: { aws: { s3: { buckets: [{ name: bucket }] } } } })
    ),
    (emulator) => Effect.promise(() => emulator.close())
  )
  const [key, secret] = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]
  return { proxy: yield* proxyTo(url, key, secret), key, secret }
})

interface S3rver {
  readonly run: () => Promise<AddressInfo>
  readonly close: () => Promise<void>
}

const s3rver = Effect.gen(function* () {
  const Server = createRequire(import.meta.url)("s3rver") as new (options: object) => S3rver
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(Path.join(tmpdir(), "s3rver-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const server = new Server({
    address: "127.0.0.1",
    port: 0,
    directory,
    silent: true,
    configureBuckets: [{ name: bucket }]
  })
  const { port } = yield* Effect.acquireRelease(
    Effect.promise(() => server.run()),
    () => Effect.promise(() => server.close())
  )
  return { proxy: yield* proxyTo(`http://127.0.0.1:${port}`, "S3RVER", "S3RVER"), key: "S3RVER", secret: "S3RVER" }
})

export const servers = { emulate, s3rver } as const

export type Running = Effect.Success<(typeof servers)[keyof typeof servers]>

/** Returns the settings with which a process reaches the bucket. */
export const settings = ({ key, proxy, secret }: Running) => ({
  IDEM_BLOB_URL: `s3://${bucket}/some/where`,
  IDEM_BLOB_ENDPOINT: proxy.url,
  AWS_ACCESS_KEY_ID: key,
  AWS_SECRET_ACCESS_KEY: secret
})

export const configured = (env: Readonly<Record<string, string>>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
