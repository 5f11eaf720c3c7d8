/**
 * The few requests of the S3 protocol that the blobs need. `aws4fetch` signs the requests, undici sends them. Failures
 * that may pass (503 SlowDown, 5xx, a broken connection) are retried with a back-off.
 */
import { type Dispatcher, EnvHttpProxyAgent, request as send } from "@effect/platform-node/Undici"
import { AwsV4Signer } from "aws4fetch"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import { StoreError } from "../../engine/store/StoreError.ts"

/** A failed request. `code` is the error code of S3, or that of the system if there was no response. */
export class S3Failure extends Schema.TaggedError<S3Failure>()("S3Failure", {
  code: Schema.String,
  status: Schema.optionalKey(Schema.Int)
}) {}

interface Request {
  readonly method: "GET" | "PUT" | "POST" | "DELETE" | "HEAD"
  /** The key within the bucket; empty for the bucket itself. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

interface Answer {
  readonly status: number
  readonly header: (name: string) => string | undefined
  /** The server's time in milliseconds since 1970; this machine's time if the response has no `Date`. */
  readonly now: number
  readonly body: Dispatcher.ResponseData["body"]
}

export interface S3Client {
  /** `s3://bucket/prefix`, for messages. */
  readonly name: string
  readonly bucket: string
  /** The prefix of keys: empty, or ending with a slash. */
  readonly prefix: string
  /** Sends a request, and returns the response before its body is read. */
  readonly open: (request: Request) => Effect.Effect<Answer, S3Failure>
  /**
   * Sends a request, and returns the response with its text. Fails for an error in a response with a success status,
   * which S3 may send.
   */
  readonly text: (request: Request) => Effect.Effect<Answer & { readonly text: string }, S3Failure>
  readonly toStoreError: (doing: string) => (failure: S3Failure) => StoreError
}

/** S3 itself waits this long for a slow client. */
const answerTimeout = 60_000

/** Delays of 100 ms, 200 ms, … : about 13 seconds in all. */
export const backOff = { schedule: Schedule.jittered(Schedule.exponential("100 millis")), times: 7 } as const

/** Returns true if the same request may succeed in a moment. */
export const isTransient = ({ code, status }: S3Failure): boolean =>
  status === undefined || status === 429 || status >= 500 ? code !== "NotImplemented" : code === "RequestTimeout"

const missing: ReadonlySet<string> = new Set(["NoSuchKey", "NoSuchUpload", "NotFound"])

/** Returns true if there is no such object, or no such upload. */
export const isMissing = (failure: unknown): failure is S3Failure =>
  failure instanceof S3Failure && missing.has(failure.code)

/**
 * Deletes an object, or aborts an upload. Succeeds if it is gone already: another process, or a rule of the bucket, may
 * have removed it first. S3 then answers the abortion of an upload with `NoSuchUpload`, and Google Cloud Storage the
 * deletion of an object with `NoSuchKey` (https://cloud.google.com/storage/docs/xml-api/delete-object).
 */
export const drop = (client: S3Client, key: string, query: Readonly<Record<string, string>> = {}) =>
  Effect.catchIf(Effect.asVoid(client.text({ method: "DELETE", key, query })), isMissing, () => Effect.void)

/** Returns the texts of the elements of this name. */
export const elements = (xml: string, name: string): ReadonlyArray<string> =>
  Array.from(xml.matchAll(new RegExp(`<${name}>([^]*?)</${name}>`, "g")), ([, text = ""]) => text)

const entities: Readonly<Record<string, string>> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'" }

/** Returns the text of the first element of this name; undefined if there is none. */
export const element = (xml: string, name: string): string | undefined =>
  elements(xml, name)[0]
    ?.replaceAll(/&(?:lt|gt|quot|apos);/g, (entity) => entities[entity] ?? entity)
    .replaceAll(/&#(\d+);/g, (_, digits: string) => String.fromCodePoint(Number(digits)))
    .replaceAll("&amp;", "&")

const codes: Readonly<Record<number, string>> = { 403: "AccessDenied", 404: "NotFound", 503: "SlowDown" }

const explanations: Readonly<Record<string, string>> = {
  NoSuchBucket: "there is no such bucket",
  AccessDenied: "the credentials may not do that (listing, reading, writing and deleting are needed)",
  InvalidAccessKeyId: "the credentials are not accepted: check AWS_ACCESS_KEY_ID",
  SignatureDoesNotMatch: "the credentials are not accepted: check AWS_SECRET_ACCESS_KEY",
  InvalidToken: "the credentials are not accepted: check AWS_SESSION_TOKEN",
  ExpiredToken: "the credentials have expired: AWS_SESSION_TOKEN is old",
  PermanentRedirect: "the bucket is in another region: set AWS_REGION",
  AuthorizationHeaderMalformed: "the bucket is in another region: set AWS_REGION",
  RequestTimeTooSkewed: "this machine's clock is wrong",
  SlowDown: "it limits the rate of requests",
  ECONNREFUSED: "nothing listens at its endpoint",
  ENOTFOUND: "the host of its endpoint does not exist"
}

const refuse = (setting: string, message: string) => Effect.fail(new StoreError({ message, cause: message, setting }))

const optional = (name: string) => Config.option(Config.NonEmptyString(name))

/** Returns the value of the first of these settings that is set. */
const firstOf = Effect.fnUntraced(function* (...names: ReadonlyArray<string>) {
  for (const name of names) {
    const value = yield* optional(name)
    if (Option.isSome(value)) return { name, value: value.value }
  }
  return undefined
})

const secret = Effect.fnUntraced(function* (setting: string, name: string) {
  const value = Option.getOrUndefined(yield* Config.option(Config.Redacted(name)))
  if (value === undefined || Redacted.value(value) === "") {
    return yield* refuse(name, `${setting} needs ${name}, which is not set`)
  }
  return value
})

/** Makes the client of the bucket that this setting names. */
export const make = Effect.fnUntraced(function* (setting: string, url: string) {
  const [, bucket, path = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([A-Za-z0-9._/-]*))?$/.exec(url) ?? []
  if (bucket === undefined) {
    return yield* refuse(
      setting,
      `${setting} is not of the form s3://bucket/prefix (letters, digits, and . _ - / in the prefix)`
    )
  }
  const prefix = path.replace(/\/*$/, path === "" ? "" : "/")
  const name = `s3://${bucket}/${prefix}`
  const accessKeyId = Redacted.value(yield* secret(setting, "AWS_ACCESS_KEY_ID"))
  const secretAccessKey = yield* secret(setting, "AWS_SECRET_ACCESS_KEY")
  const sessionToken = Option.getOrUndefined(yield* Config.option(Config.Redacted("AWS_SESSION_TOKEN")))
  const region = (yield* firstOf("AWS_REGION", "AWS_DEFAULT_REGION"))?.value ?? "us-east-1"
  const given = yield* firstOf("IDEM_BLOB_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
  const endpoint = URL.parse(given?.value ?? `https://s3.${region}.amazonaws.com`)
  if (endpoint === null || !/^https?:$/.test(endpoint.protocol)) {
    const wrong = given?.name ?? "AWS_REGION"
    return yield* refuse(wrong, `${wrong} is not of the form https://host`)
  }
  const cache = new Map<string, ArrayBuffer>()
  const dispatcher = yield* Effect.acquireRelease(
    Effect.sync(
      () => new EnvHttpProxyAgent({ allowH2: false, headersTimeout: answerTimeout, bodyTimeout: answerTimeout })
    ),
    (agent) => Effect.promise(() => agent.destroy())
  )

  const once = Effect.fnUntraced(function* ({ body, headers, key, method, query }: Request) {
    const ownTime = yield* Clock.currentTimeMillis
    return yield* Effect.tryPromise({
      try: async (signal): Promise<Answer> => {
        const target = new URL(`${endpoint.pathname.replace(/\/$/, "")}/${bucket}/${key}`, endpoint)
        for (const [name, value] of Object.entries(query ?? {})) target.searchParams.set(name, value)
        const signed = await new AwsV4Signer({
          method,
          url: target.href,
          headers: { ...headers, "x-amz-content-sha256": Crypto.hash("sha256", body ?? "", "hex") },
          accessKeyId,
          secretAccessKey: Redacted.value(secretAccessKey),
          ...(sessionToken === undefined ? {} : { sessionToken: Redacted.value(sessionToken) }),
          service: "s3",
          region,
          cache
        }).sign()
        const answer = await send(signed.url, {
          dispatcher,
          method,
          headers: signed.headers,
          body: body ?? null,
          signal
        })
        const header = (name: string) => [answer.headers[name]].flat()[0]
        const now = Date.parse(header("date") ?? "")
        return { status: answer.statusCode, header, now: Number.isNaN(now) ? ownTime : now, body: answer.body }
      },
      catch: networkFailure
    })
  })

  /** Returns the response if its status is a success; otherwise fails with its error code. */
  const succeeded = Effect.fnUntraced(function* (answer: Answer) {
    if (answer.status >= 200 && answer.status < 300) return answer
    const text = yield* Effect.tryPromise({ try: () => answer.body.text(), catch: networkFailure })
    const code = element(text, "Code") ?? codes[answer.status] ?? `HTTP ${answer.status}`
    return yield* new S3Failure({ code: code.slice(0, 100), status: answer.status })
  })

  const retried = <A>(effect: Effect.Effect<A, S3Failure>) => Effect.retry(effect, { ...backOff, while: isTransient })

  const client: S3Client = {
    name,
    bucket,
    prefix,
    open: (request) => retried(Effect.flatMap(once(request), succeeded)),
    text: (request) =>
      retried(
        Effect.gen(function* () {
          const answer = yield* Effect.flatMap(once(request), succeeded)
          const text = yield* Effect.tryPromise({ try: () => answer.body.text(), catch: networkFailure })
          const code = elements(text, "Error").length > 0 ? element(text, "Code") : undefined
          if (code !== undefined) return yield* new S3Failure({ code, status: 500 })
          return { ...answer, text }
        })
      ),
    toStoreError:
      (doing) =>
      ({ code, status }) =>
        new StoreError({
          message: `${doing}: ${name} can't be used: ${explanations[code] ?? `${code}${status === undefined ? "" : ` (${status})`}`}`,
          cause: code
        })
  }
  return client
})

/** Keeps only the code: an error's message may contain the request. */
export const networkFailure = (error: unknown): S3Failure => {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return new S3Failure({ code: typeof code === "string" ? code : "the connection broke" })
}
