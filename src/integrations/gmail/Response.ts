/**
 * Receives responses. A small body is collected, a larger one is streamed. undici's own `request` makes a stream of
 * every body, which takes a quarter of the processor time of a request.
 */
import type { Dispatcher } from "@effect/platform-node/Undici"
import type { IncomingHttpHeaders } from "node:http"
import { Readable } from "node:stream"

/** The size up to which a body is collected: most messages are smaller. */
const wholeBytes = 256 * 1024

export interface Response {
  readonly status: number
  readonly headers: IncomingHttpHeaders | Headers
  /** The body, or its beginning. If the body of a refusal broke off, the part that arrived. */
  readonly chunks: ReadonlyArray<Buffer>
  /** The rest of a body larger than `wholeBytes`. */
  readonly rest: Rest | undefined
}

export interface Rest {
  /** Returns the next chunk. Rejects if the body breaks off. */
  readonly next: () => Promise<IteratorResult<Buffer>>
  /** Closes the response. */
  readonly close: () => void
}

export const isOk = (status: number): boolean => status >= 200 && status <= 299

const restOf = (stream: Readable): Rest => {
  const chunks: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]()
  // An error is reported by the next read. Without a listener, it would end the process before that.
  stream.on("error", () => {})
  return { next: () => chunks.next(), close: () => void stream.destroy() }
}

/** Makes the response with this body. */
export const of = async (
  { headers, status }: Pick<Response, "headers" | "status">,
  body: Readable
): Promise<Response> => {
  const rest = restOf(body)
  const chunks: Array<Buffer> = []
  try {
    for (let size = 0; size <= wholeBytes; size += chunks.at(-1)?.length ?? 0) {
      const next = await rest.next()
      if (next.done === true) return { status, headers, chunks, rest: undefined }
      chunks.push(next.value)
    }
  } catch (error) {
    if (isOk(status)) throw error
    return { status, headers, chunks, rest: undefined }
  }
  return { status, headers, chunks, rest }
}

/** Receives one response. The signal aborts the request until the response ends, or its rest is closed. */
class Receiver implements Dispatcher.DispatchHandler {
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: Error) => void
  readonly #signal: AbortSignal
  readonly #chunks: Array<Buffer> = []
  #size = 0
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #controller: Dispatcher.DispatchController | undefined
  #stream: Readable | undefined

  constructor(signal: AbortSignal, resolve: (response: Response) => void, reject: (error: Error) => void) {
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal.addEventListener("abort", () => this.#controller?.abort(signal.reason), { once: true })
  }

  #respond(rest: Rest | undefined): void {
    this.#resolve({ status: this.#status, headers: this.#headers, chunks: this.#chunks, rest })
  }

  /** Also called for each redirect. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#signal.aborted) controller.abort(this.#signal.reason)
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status
    this.#headers = headers
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream !== undefined) {
      if (!this.#stream.push(chunk)) controller.pause()
      return
    }
    this.#chunks.push(chunk)
    this.#size += chunk.length
    if (this.#size <= wholeBytes) return
    this.#stream = new Readable({
      read: () => controller.resume(),
      destroy(error, done) {
        if (!this.readableEnded) controller.abort(error ?? new Error("the response was closed"))
        done(error)
      }
    })
    controller.pause()
    this.#respond(restOf(this.#stream))
  }

  onResponseEnd(): void {
    if (this.#stream === undefined) this.#respond(undefined)
    else this.#stream.push(null)
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#stream !== undefined) this.#stream.destroy(error)
    else if (this.#status >= 300) this.#respond(undefined)
    else this.#reject(error)
  }
}

/** Makes a GET request. Rejects if no response begins, or if a small body breaks off. */
export const receive = (
  dispatcher: Pick<Dispatcher, "dispatch">,
  { origin, pathname, search }: URL,
  options: { readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal }
): Promise<Response> =>
  new Promise((resolve, reject) => {
    const request = { origin, path: `${pathname}${search}`, method: "GET", headers: options.headers } as const
    dispatcher.dispatch(request, new Receiver(options.signal, resolve, reject))
  })
