/** A collector of telemetry on loopback: accepts OTLP as JSON over HTTP, and stores every request. */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

interface OtlpSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: ReadonlyArray<Attribute>
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
}

interface Scoped<Key extends string, Item> {
  readonly resource: { readonly attributes: ReadonlyArray<Attribute> }
  readonly scope: ReadonlyArray<{ readonly [K in Key]: ReadonlyArray<Item> }>
}

export interface Span {
  readonly trace: string
  readonly id: string
  readonly parent: string | undefined
  readonly name: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly start: bigint
  readonly end: bigint
}

const plain = (attributes: ReadonlyArray<Attribute>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

export class Collector {
  /** Every request in order: path, headers, body. */
  readonly requests: Array<{
    readonly path: string
    readonly headers: Http.IncomingHttpHeaders
    readonly body: string
  }> = []
  readonly url: string
  /** The status of the collector's responses. */
  status = 200

  constructor(url: string) {
    this.url = url
  }

  private of<Key extends string, Item>(path: string, resources: string, scopes: string, key: Key): Array<Item> {
    return this.requests
      .filter((request) => request.path === path)
      .flatMap(({ body }) => JSON.parse(body)[resources] as ReadonlyArray<Record<string, Scoped<Key, Item>["scope"]>>)
      .flatMap((resource) => (resource[scopes] ?? []).flatMap((scope) => scope[key]))
  }

  get spans(): ReadonlyArray<Span> {
    return this.of<"spans", OtlpSpan>("/v1/traces", "resourceSpans", "scopeSpans", "spans").map((span) => ({
      trace: span.traceId,
      id: span.spanId,
      parent: span.parentSpanId,
      name: span.name,
      attributes: plain(span.attributes),
      start: BigInt(span.startTimeUnixNano),
      end: BigInt(span.endTimeUnixNano)
    }))
  }

  /** Returns the names of the received metrics. */
  get metrics(): ReadonlySet<string> {
    const sent = this.of<"metrics", { readonly name: string }>(
      "/v1/metrics",
      "resourceMetrics",
      "scopeMetrics",
      "metrics"
    )
    return new Set(sent.map(({ name }) => name))
  }

  /** Returns the texts of the received log lines. */
  get logs(): ReadonlyArray<string> {
    const sent = this.of<"logRecords", { readonly body: { readonly stringValue?: string } }>(
      "/v1/logs",
      "resourceLogs",
      "scopeLogs",
      "logRecords"
    )
    return sent.map(({ body }) => body.stringValue ?? JSON.stringify(body))
  }
}

/** Starts a collector, which listens until the scope closes. */
export const make = Effect.map(
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<readonly [Http.Server, Collector]>((resolve) => {
          const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) => {
            const chunks: Array<Buffer> = []
            request.on("data", (chunk: Buffer) => chunks.push(chunk))
            request.on("end", () => {
              const { headers, url = "" } = request
              collector.requests.push({ path: url, headers, body: Buffer.concat(chunks).toString() })
              response.writeHead(collector.status, { "content-type": "application/json" }).end("{}")
            })
          })
          let collector: Collector
          server.listen(0, "127.0.0.1", () => {
            collector = new Collector(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
            resolve([server, collector])
          })
        })
    ),
    ([server]) =>
      Effect.promise(
        () =>
          new Promise<void>((resolve) => {
            server.close(() => resolve())
            server.closeAllConnections()
          })
      )
  ),
  ([, collector]) => collector
)

/**
 * Returns the tree of spans below `root` as lines: names in the order of their start, each with the attributes that
 * `say` selects. Equal neighbours are counted.
 */
export const treeOf = (spans: ReadonlyArray<Span>, root: Span, say: (span: Span) => string): string => {
  const lines: Array<string> = []
  const walk = (span: Span, depth: number) => {
    lines.push(`${"  ".repeat(depth)}${say(span)}`)
    const children = spans.filter((one) => one.parent === span.id).toSorted((a, b) => (a.start < b.start ? -1 : 1))
    for (const child of children) walk(child, depth + 1)
  }
  walk(root, 0)
  return lines.join("\n")
}
