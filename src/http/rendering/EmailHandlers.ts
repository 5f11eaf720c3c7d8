/** The handlers of rendered emails and Markdown files. */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Stream from "effect/Stream"
import * as Crypto from "node:crypto"
import { UsageError } from "../../engine/Engine.ts"
import { Api } from "../Api.ts"
import * as BodyResponse from "../contents/BodyResponse.ts"
import { BodyStore } from "../../engine/store/BodyStore.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import * as ContentLookup from "../contents/ContentLookup.ts"
import * as EmailRenderer from "./EmailRenderer.ts"
import { asProblem, NotFoundProblem } from "../Problems.ts"
import * as Duration from "effect/Duration"
import * as Path from "node:path"
import * as WorkerPool from "../../workers/WorkerPool.ts"

interface ReadRequest {
  readonly bytes: Uint8Array
  readonly question: EmailRenderer.Question
}

// The worker's file has the same extension as this file: .ts in the repository, .js in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

/**
 * Makes a reader of emails and Markdown files. Its worker processes have bounds on time and memory (see
 * `WorkerPool.ts`), and end with the scope.
 */
const makeReader = Effect.gen(function* () {
  const pool = yield* WorkerPool.make<ReadRequest, EmailRenderer.Answers[EmailRenderer.Question["_tag"]]>({
    program,
    atOnce: 2,
    longest: Duration.seconds(10),
    megabytes: 384
  })

  /**
   * Answers a question about an email. Its bytes are read once a worker is free, so that few are in memory at a time.
   */
  const ask = <Q extends EmailRenderer.Question, E>(
    email: Effect.Effect<Uint8Array, E>,
    question: Q
  ): Effect.Effect<EmailRenderer.Answers[Q["_tag"]], WorkerPool.WorkerFailed | E> =>
    pool
      .ask(Effect.map(email, (bytes) => ({ bytes, question })))
      // The question determines the type of the answer.
      .pipe(Effect.map((answer) => answer as EmailRenderer.Answers[Q["_tag"]]))

  return { ask }
})

const email = { type: /^message\/rfc822 *(?:;|$)/i, name: "email" }
/** The media types of Markdown: sources often report plain text. */
const markdown = { type: /^(?:text\/(?:markdown|x-markdown|plain) *(?:;|$)|$)/i, name: "Markdown" }

/** Responds with a page for a sandboxed frame. */
const framed = (page: string) =>
  HttpServerResponse.text(page, {
    contentType: "text/html; charset=utf-8",
    headers: { "content-security-policy": EmailRenderer.contentSecurityPolicy }
  })

export const layer = HttpApiBuilder.group(
  Api,
  "emails",
  Effect.fn(function* (handlers) {
    const ports = {
      bodies: yield* BodyStore,
      connections: yield* ConnectionStore,
      contents: yield* ContentStore
    }
    const reader = yield* makeReader

    const ask = Effect.fnUntraced(function* <Q extends EmailRenderer.Question>(
      connection: string,
      externalId: string,
      question: (title: string) => Q,
      is: { readonly type: RegExp; readonly name: string } = email
    ) {
      const body = yield* ContentLookup.body(ports, connection, externalId)
      if (!is.type.test(body.mediaType ?? "")) {
        return yield* new UsageError({ message: `${externalId} is no ${is.name}: download it, or read it as it is` })
      }
      if (body.size > EmailRenderer.longest) {
        return yield* new UsageError({
          message: `${externalId} is too large to be shown: ${body.size} bytes of at most ${EmailRenderer.longest}; download it`
        })
      }
      const bytes = Effect.map(Stream.runCollect(body.bytes()), (chunks) => Buffer.concat(chunks))
      return yield* reader
        .ask(bytes, question(body.title ?? externalId))
        .pipe(
          Effect.catchTag("WorkerFailed", ({ message }) =>
            Effect.fail(new UsageError({ message: `${externalId} can't be shown (${message}): download it instead` }))
          )
        )
    })

    return handlers.handleAll({
      render: ({ params, query }) =>
        ask(params.connection, query.externalId, () => ({ _tag: "page", as: query.as }) as const).pipe(
          Effect.map(framed),
          asProblem
        ),

      markdown: ({ params, query }) =>
        ask(params.connection, query.externalId, (title) => ({ _tag: "markdown", title }) as const, markdown).pipe(
          Effect.map(framed),
          asProblem
        ),

      parts: ({ params, query }) =>
        asProblem(ask(params.connection, query.externalId, () => ({ _tag: "parts" }) as const)),

      part: Effect.fnUntraced(function* ({ params, query, request }) {
        const question = { _tag: "attachment", index: Number(query.part) } as const
        const attachment = yield* ask(params.connection, query.externalId, () => question)
        if (attachment === undefined) {
          return yield* new NotFoundProblem({
            what: "body",
            detail: `${query.externalId} has no attachment ${query.part}: its attachments are listed under …/content/email/parts`
          })
        }
        const { bytes, mediaType, name } = attachment
        return yield* BodyResponse.answer(
          request,
          { title: name, externalId: query.externalId },
          {
            mediaType,
            hash: Crypto.createHash("sha256").update(bytes).digest("hex"),
            size: bytes.length,
            bytes: (range) => Stream.make(range === undefined ? bytes : bytes.subarray(range.start, range.end))
          }
        )
      }, asProblem)
    })
  })
)
