/** `Control` by asking a server: what the command line does where `IDEM_URL` names one. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import { randomUUID } from "node:crypto"
import packageJson from "../../package.json" with { type: "json" }
import type { SyncTask } from "../contract/SyncTask.ts"
import * as RunCounts from "../engine/model/RunCounts.ts"
import { type Body, type ContentQuery, Control, NotFound } from "../engine/Control.ts"
import type * as Documents from "../engine/Documents.ts"
import { type SyncResult, UsageError } from "../engine/Engine.ts"
import { StoreError } from "../engine/Store.ts"
import { Api } from "./Api.ts"
import { longestWait } from "./contents/ContentEndpoints.ts"
import type { Address } from "./remote/Address.ts"
import * as Answers from "./remote/Answers.ts"
import * as Bytes from "./remote/Bytes.ts"
import * as Watching from "./remote/Watching.ts"

/** Asking again costs nothing where nothing is changed, or where a key says that it is the same request. */
const again = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.retryTransient(client, {
    retryOn: "errors-only",
    schedule: Schedule.exponential("100 millis"),
    times: 3
  })

/** The server's clients: `read` asks again where no answer came, `write` does not. */
const clients = Effect.fnUntraced(function* ({ token, url }: Address) {
  const http = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest((request) => {
      const addressed = HttpClientRequest.prependUrl(request, url)
      return Option.isNone(token) ? addressed : HttpClientRequest.bearerToken(addressed, token.value)
    })
  )
  return {
    http: again(http),
    read: yield* HttpApiClient.makeWith(Api, { httpClient: again(http) }),
    write: yield* HttpApiClient.makeWith(Api, { httpClient: http })
  }
})

const majorMinor = (version: string): string => version.split(".").slice(0, 2).join(".")

/** Fails where the server can't be used: away, no Idem, another version, or the token is not its own. */
const checked = Effect.fnUntraced(function* (
  { token, url }: Address,
  { read }: Effect.Success<ReturnType<typeof clients>>
): Effect.fn.Return<void, Answers.ServerError> {
  const session = yield* Effect.mapError(read.system.session({}), (error) => Answers.serverError(url, error))
  if (session.tokenRequired && !session.authenticated) {
    return yield* new Answers.ServerError({
      reason: "Unauthorized",
      message: Option.isNone(token)
        ? `the server at IDEM_URL (${url}) asks for a token: set IDEM_API_TOKEN to the one that it was started with`
        : `the server at IDEM_URL (${url}) does not take this token: set IDEM_API_TOKEN to the one that it was started with`
    })
  }
  if (session.version !== null && majorMinor(session.version) !== majorMinor(packageJson.version)) {
    return yield* new Answers.ServerError({
      reason: "OtherVersion",
      message: `the server at IDEM_URL (${url}) is Idem ${session.version}, this is ${packageJson.version}: use the same version here`
    })
  }
})

const queryOf = ({ after, kind, limit, order, since, state, text, until }: ContentQuery) => ({
  state,
  order,
  limit,
  ...(kind === undefined ? {} : { kind }),
  ...(since === undefined ? {} : { since }),
  ...(until === undefined ? {} : { until }),
  ...(text === undefined ? {} : { text }),
  ...(after === undefined ? {} : { after })
})

const decodeJson = Schema.decodeUnknownEffect(Schema.Json)

const asJson = (what: string, value: unknown) =>
  Effect.mapError(decodeJson(value), () => new UsageError({ message: `the ${what} is not JSON` }))

const requestOf = (task: SyncTask, spec: string | undefined) => ({
  ...(task.force ? { force: true } : {}),
  ...(task.forceIds.length === 0 ? {} : { forceIds: task.forceIds }),
  ...(task.window?.since === undefined ? {} : { since: task.window.since }),
  ...(task.window?.until === undefined ? {} : { until: task.window.until }),
  ...(task.dryRun ? { dryRun: true } : {}),
  ...(spec === undefined ? {} : { spec })
})

const skipped = (connection: string, holder: string): SyncResult => ({
  connection,
  run: null,
  task: null,
  status: "skipped",
  counts: RunCounts.zero,
  durationMs: 0,
  error: { reason: "Held", message: `held by ${holder}` },
  notes: [],
  problems: [],
  planned: null
})

const make = Effect.fnUntraced(function* (address: Address) {
  const { url } = address
  const all = yield* clients(address)
  const { http, read, write } = all
  yield* checked(address, all)
  const errors = Answers.asErrors(url)

  const params = (connection: string) => ({ params: { connection } })

  const connection: Control["Service"]["connection"] = (ref) =>
    Effect.map(errors(read.connections.get(params(ref))), Struct.omit(["lastRun", "ledger", "totals", "unfinished"]))

  const content: Control["Service"]["content"] = (ref, externalId) =>
    errors(read.contents.get({ ...params(ref), query: { externalId } }))

  const status: Control["Service"]["status"] = (ref) => errors(read.connections.get(params(ref)))

  const task: Control["Service"]["task"] = (ref, taskId) =>
    errors(read.tasks.get({ params: { connection: ref, task: taskId } }))

  const submit: Control["Service"]["submit"] = Effect.fnUntraced(function* (ref, request, { idempotencyKey }) {
    if (request._tag === "retry") {
      const payload = request.externalIds.length === 0 ? null : { externalIds: request.externalIds }
      return yield* errors(write.connections.redrive({ ...params(ref), payload }))
    }
    const client = idempotencyKey === undefined ? write : read
    const answer = yield* errors(
      client.tasks.submit({
        ...params(ref),
        headers: idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey },
        payload: requestOf(request.task, request.spec)
      })
    )
    if ("createdAt" in answer) return answer
    return yield* new UsageError({ message: "a dry run is no task: ask for its plan" })
  })

  const bytes = Bytes.make(http, url)

  const run: Control["Service"]["run"] = (runId) => errors(read.tasks.run({ params: { run: runId } }))

  /** A task from `submit` to its end. */
  const watch = Effect.fnUntraced(function* (
    found: Documents.Connection,
    submitting: ReturnType<Control["Service"]["submit"]>,
    options: Omit<Parameters<Control["Service"]["sync"]>[2], "spec" | "wait">
  ) {
    const startedAt = yield* Clock.currentTimeMillis
    const begun = yield* submitting
    return yield* Watching.untilEnded({ status, task, run }, found, begun, startedAt, options)
  })

  return Control.of({
    connections: Effect.map(errors(read.connections.list({})), ({ connections }) => connections),
    connection,
    status,
    connect: Effect.fnUntraced(function* ({ config, credentials, domain, every, mode, name }) {
      const before =
        mode === "create"
          ? Option.none()
          : yield* connection(name).pipe(
              Effect.map(Option.some),
              Effect.catchTag("NotFound", (error) => (mode === "update" ? Effect.fail(error) : Effect.succeedNone))
            )
      const given = {
        ...(config === undefined ? {} : { config: yield* asJson("config", config) }),
        ...(every === undefined ? {} : { every })
      }
      const secret = credentials === undefined ? undefined : Redacted.make(yield* asJson("credentials", credentials))
      if (Option.isSome(before) && before.value.domain !== domain) {
        return yield* new UsageError({
          message: `${name} is a connection of ${before.value.domain}, not of ${domain}: choose another name`
        })
      }
      const answer = yield* errors(
        Option.isSome(before)
          ? write.connections.change({
              ...params(before.value.id),
              payload: { ...given, ...(secret === undefined ? {} : { credentials: secret }) }
            })
          : write.connections.create({ payload: { ...given, domain, name, credentials: secret ?? Redacted.make({}) } })
      )
      return {
        connection: answer.connection,
        created: answer.created,
        estimate: { items: answer.items ?? undefined, unitsPerItem: answer.unitsPerItem },
        firstSync: answer.firstSyncMs === null ? undefined : Duration.millis(answer.firstSyncMs)
      }
    }),
    pause: (ref) => errors(read.connections.pause(params(ref))),
    resume: (ref) => errors(read.connections.resume(params(ref))),
    disconnect: (ref, { deleteContents }) =>
      errors(write.connections.remove({ ...params(ref), query: { deleteContents } })),

    submit,
    task,
    tasks: (ref, limit) =>
      Effect.map(errors(read.tasks.list({ ...params(ref), query: { limit } })), ({ tasks }) => tasks),
    plan: Effect.fnUntraced(function* (ref, spec) {
      const answer = yield* errors(
        write.tasks.submit({ ...params(ref), headers: {}, payload: requestOf({ ...spec, dryRun: true }, undefined) })
      ).pipe(Effect.catchTag("Conflict", ({ message }) => Effect.fail(new UsageError({ message }))))
      if ("createdAt" in answer) {
        return yield* new StoreError({ message: "the server began a task where a dry run was asked", cause: answer })
      }
      return {
        connection: answer.connection,
        run: answer.run,
        task: answer.task,
        status: answer.status,
        counts: RunCounts.only(answer),
        durationMs: answer.durationMs,
        error: answer.error ?? null,
        notes: answer.notes ?? [],
        problems: answer.problems ?? [],
        planned: answer.planned ?? null
      }
    }),
    sync: Effect.fnUntraced(function* (ref, spec, options) {
      const found = yield* connection(ref)
      if (!options.wait && found.holder !== null) return skipped(found.name, found.holder)
      const submitting = submit(
        found.id,
        { _tag: "sync", task: spec, spec: options.spec },
        { idempotencyKey: randomUUID() }
      )
      return yield* watch(found, submitting, options)
    }),
    retry: Effect.fnUntraced(function* (ref, externalIds) {
      const found = yield* connection(ref)
      return yield* watch(found, submit(found.id, { _tag: "retry", externalIds: externalIds ?? [] }, {}), {})
    }),
    runs: (ref, limit) => Effect.map(errors(read.tasks.runs({ ...params(ref), query: { limit } })), ({ runs }) => runs),
    run,
    statistics: (ref, hours) =>
      Effect.map(errors(read.tasks.statistics({ ...params(ref), query: { hours } })), ({ hours }) => hours),

    contents: (ref, query) => errors(read.contents.list({ ...params(ref), query: queryOf(query) })),
    contentsInFull: (ref, query) => errors(read.contents.listInFull({ ...params(ref), query: queryOf(query) })),
    content,
    body: Effect.fnUntraced(function* (ref, externalId) {
      const { hash, mediaType, size, state, title } = yield* content(ref, externalId)
      if (hash === null) {
        return yield* new NotFound({
          what: "body",
          message: `${JSON.stringify(externalId)} is ${state}, and no body of it was ever stored`
        })
      }
      return {
        title,
        mediaType,
        hash,
        size,
        bytes: (range) =>
          Stream.catchTag(bytes(ref, externalId, range), "NotFound", ({ message }) =>
            Stream.fail(new StoreError({ message, cause: "not found" }))
          )
      } satisfies Body
    }),
    bytes,
    purge: (ref, before) => errors(write.connections.purge({ ...params(ref), payload: { before } })),

    ledger: (ref, limit) =>
      Effect.map(errors(read.connections.ledger({ ...params(ref), query: { limit } })), ({ ledger }) => ledger),
    deletions: (ref, limit) =>
      Effect.map(
        errors(read.connections.deletions({ ...params(ref), query: { limit } })),
        ({ deletions }) => deletions
      ),
    approveDeletions: (ref) =>
      Effect.map(errors(write.connections.approveDeletions(params(ref))), ({ deleted }) => deleted),

    changes: ({ after, connection, limit, wait }) =>
      errors(
        read.contents.changes({
          query: {
            limit,
            wait: Math.min(longestWait, Math.ceil(Duration.toSeconds(wait))),
            ...(after === undefined ? {} : { after }),
            ...(connection === undefined ? {} : { connection })
          }
        })
      )
  })
})

/** Asks this server. Fails where it can't be used. */
export const layer = (address: Address): Layer.Layer<Control, Answers.ServerError, HttpClient.HttpClient> =>
  Layer.effect(Control, make(address))
