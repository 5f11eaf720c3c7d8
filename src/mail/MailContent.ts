/** Turns emails into content, for every integration with emails. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type AfterBody, type Content, maxTitleLength } from "../contract/Content.ts"
import type { IntegrationError } from "../contract/IntegrationError.ts"
import * as Headers from "./Headers.ts"

const kind = { kind: "message", mediaType: "message/rfc822" }

/**
 * Returns the fields of a content except its body: the source's own fields, and those of the email's header, which must
 * be complete in `head`.
 */
export const fields = (head: Uint8Array, { metadata, ...own }: Omit<AfterBody, "title">): AfterBody => {
  const { subject, ...header } = Headers.read(head)
  const present: Record<string, Schema.Json> = {}
  for (const [name, value] of Object.entries(header)) if (value !== undefined) present[name] = value
  return { title: subject?.slice(0, maxTitleLength), ...own, metadata: { ...metadata, ...present } }
}

/** Returns the content of an email whose bytes are in memory. */
export const whole = (body: Uint8Array, fields: AfterBody): Content => ({ ...kind, ...fields, body })

/**
 * Returns the content of an email whose bytes are streamed. `fieldsOf` gets the beginning of the bytes, as many as
 * `Headers.read` uses, and the number of all bytes.
 */
export const streamed = (
  bytes: Stream.Stream<Uint8Array, IntegrationError>,
  estimate: number | undefined,
  fieldsOf: (head: Uint8Array, size: number) => Effect.Effect<AfterBody, IntegrationError>
): Content => {
  const head: Array<Uint8Array> = []
  let size = 0
  const body = Stream.tap(bytes, (chunk) =>
    Effect.sync(() => {
      if (size < Headers.prefixBytes) head.push(chunk.slice(0, Headers.prefixBytes - size))
      size += chunk.length
    })
  )
  const afterBody = Effect.suspend(() => fieldsOf(Buffer.concat(head), size))
  return { ...kind, metadata: {}, body, announced: { estimate }, afterBody }
}
