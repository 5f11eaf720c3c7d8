/**
 * Idem as a library: `createIdem` for promises, `layer` for Effect. Neither reads the environment or the arguments of
 * the process, handles its signals, exits or logs. Several instances may be open in one process.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import { AddedIntegrations, layer as appLayer, layerMemory } from "./App.ts"
import { AppServices } from "./cli/AppServices.ts"
import { afterSync } from "./derive/Deriver.ts"
import { Engine } from "./engine/Engine.ts"
import { ContentState } from "./engine/model/Content.ts"
import * as ConfigErrors from "./engine/source/ConfigErrors.ts"
import { Change, ContentRow } from "./engine/feed/ChangeDocument.ts"
import { ConnectionStore } from "./engine/store/ConnectionStore.ts"
import type { StartError } from "./engine/store/StoreError.ts"
import type * as LeasedSlice from "./engine/sync/LeasedSlice.ts"
import type { WebhookStore } from "./engine/store/WebhookStore.ts"
import * as IdemOptions from "./IdemOptions.ts"
import type { Options } from "./IdemOptions.ts"
import { ApiClient, body } from "./http/client/ApiClient.ts"
import { TitleText } from "./http/contents/ContentEndpoints.ts"
import { Connected } from "./http/connections/ConnectionEndpoints.ts"
import * as ConnectionLookup from "./http/connections/ConnectionLookup.ts"
import { Status } from "./http/connections/ConnectionDocuments.ts"
import * as ConnectionHandlers from "./http/connections/ConnectionHandlers.ts"
import { Every, Name } from "./http/Parameters.ts"
import * as Problems from "./http/Problems.ts"
import { synced, Synced } from "./http/tasks/TaskDocuments.ts"
import { SyncRequest } from "./http/tasks/TaskEndpoints.ts"
import { specOfRequest, taskOf } from "./http/tasks/TaskSpec.ts"

export type { Options } from "./IdemOptions.ts"
export { ApiClient } from "./http/client/ApiClient.ts"
export { Engine } from "./engine/Engine.ts"

/** The engine, its stores and the API over them, for programs that use Effect. */
export const layer = (
  options: Options = {}
): Layer.Layer<ApiClient | Engine | LeasedSlice.Services | WebhookStore, StartError> => {
  const { database, dataDir, integrations = [], log, poll = false, settings } = options
  const isInMemory = database === "memory"
  const secretKey = options.secretKey ?? (isInMemory ? randomBytes(32).toString("base64") : undefined)
  const environment = {
    ...settings,
    ...(database === undefined || isInMemory ? {} : { DATABASE_URL: database }),
    ...(dataDir === undefined ? {} : { IDEM_DATA_DIR: dataDir }),
    ...(secretKey === undefined ? {} : { IDEM_SECRET_KEY: secretKey })
  }
  const logger = Logger.layer(log === undefined ? [] : [Logger.map(Logger.formatJson, log)])
  const stored = Layer.unwrap(
    Effect.map(AppServices, ({ api, layer: all, poller }) => {
      const open = Layer.merge(api, all)
      return poll ? Layer.merge(open, Layer.provide(poller, all)) : open
    })
  ).pipe(Layer.provide(appLayer))
  return (isInMemory ? layerMemory : stored).pipe(
    Layer.provide(Layer.succeed(AddedIntegrations, Effect.succeed(integrations))),
    Layer.provide(NodeServices.layer),
    Layer.provide(logger),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment })))
  )
}

/** The request of `connect`, as `POST /connections` takes it. `every` is a duration like "5 minutes". */
export interface ConnectRequest {
  readonly domain: string
  readonly name: string
  readonly config?: Schema.Json | undefined
  readonly credentials?: Schema.Json | undefined
  readonly every?: string | undefined
}

/** Makes optional fields accept undefined too, because a program may pass on a value that it does not have. */
type OrUndefined<Fields> = {
  [Name in keyof Fields]: object extends Pick<Fields, Name> ? Fields[Name] | undefined : Fields[Name]
}

/**
 * The request of `sync`. Without it, a sync fetches what is new. `since` is inclusive, `until` exclusive, both in ISO
 * 8601.
 */
export type SyncTaskRequest = OrUndefined<typeof SyncRequest.Encoded>

const ContentsQuery = Schema.Struct({
  state: Schema.optionalKey(ContentState),
  kind: Schema.optionalKey(Schema.String),
  /** A text that the title contains. */
  text: Schema.optionalKey(TitleText)
})
export type ContentsRequest = OrUndefined<typeof ContentsQuery.Encoded>

const ChangesQuery = Schema.Struct({
  /** The cursor of the last change that was handled. Without it, the changes begin with the first. */
  after: Schema.optionalKey(Schema.String),
  /** The name or id of a connection. */
  connection: Schema.optionalKey(Schema.String),
  /** True to wait for further changes instead of ending after the last. Default: false. */
  follow: Schema.optionalKey(Schema.Boolean)
})
export type ChangesRequest = OrUndefined<typeof ChangesQuery.Encoded>

/**
 * An open Idem. Its documents are those of the HTTP API and of the command line's `--json`; times are ISO 8601 texts.
 */
export interface Idem {
  /**
   * Creates the connection of this name, or changes it: omitted fields keep their values. Makes one request to the
   * source.
   */
  readonly connect: (request: ConnectRequest) => Promise<typeof Connected.Encoded>
  /** Runs one task until it is done. If the task fails, resolves with the status `failed`, and does not reject. */
  readonly sync: (connection: string, request?: SyncTaskRequest) => Promise<typeof Synced.Encoded>
  readonly status: (connection: string) => Promise<typeof Status.Encoded>
  /** Iterates over stored contents, by external id. Pages are read on demand. */
  readonly contents: (connection: string, request?: ContentsRequest) => AsyncIterable<typeof ContentRow.Encoded>
  /** Reads the body of one content. */
  readonly body: (connection: string, externalId: string) => AsyncIterable<Uint8Array>
  /** Iterates over changes in order (see `docs/changes-and-webhooks.md`). Handle a change, then store its cursor. */
  readonly changes: (request?: ChangesRequest) => AsyncIterable<typeof Change.Encoded>
  /** Commits complete items, releases leases and locks, and stops the embedded PostgreSQL if it has no other users. */
  readonly close: () => Promise<void>
}

/** How long one request waits for changes, in seconds, before the next request. */
const longestWait = 30

/** The number of rows in one page, or in one request for changes. */
const pageSize = 500

const encodeChange = Schema.encodeSync(Change)
const encodeConnected = Schema.encodeSync(Connected)
const encodeRow = Schema.encodeSync(ContentRow)
const encodeStatus = Schema.encodeSync(Status)
const encodeSynced = Schema.encodeSync(Synced)
const RequestedConnection = Schema.Struct({
  domain: Schema.String,
  name: Name,
  // The engine decodes both with the schemas of the integration, and never reports values of the credentials.
  config: Schema.optionalKey(Schema.Unknown),
  credentials: Schema.optionalKey(Schema.Unknown),
  every: Schema.optionalKey(Every)
})

/**
 * Decodes a request. The error names the fields that are wrong, or that do not exist. `place` is the part of the HTTP
 * request that has the same fields.
 */
const decoded = <A, I>(schema: Schema.Codec<A, I>, place: "body" | "query") => {
  const decode = Schema.decodeUnknownEffect(schema, { onExcessProperty: "error", errors: "all" })
  return (request: unknown) =>
    Effect.mapError(
      decode(Predicate.isObject(request) ? Record.filter(request, Predicate.isNotUndefined) : request),
      ({ issue }) =>
        new Problems.UsageProblem({
          detail: ConfigErrors.explain(issue, { secret: false }),
          errors: ConfigErrors.fieldErrors(place, issue, { secret: false })
        })
    )
}
const decodeConnection = decoded(RequestedConnection, "body")
const decodeSync = decoded(SyncRequest, "body")
const decodeContents = decoded(ContentsQuery, "query")
const decodeChanges = decoded(ChangesQuery, "query")

const connect = Effect.fnUntraced(function* (request: ConnectRequest) {
  const { config, credentials, domain, every, name } = yield* decodeConnection(request)
  const connected = yield* (yield* Engine).connect({ domain, name, config, credentials, every })
  return encodeConnected(yield* ConnectionHandlers.connected(connected))
}, Problems.asProblem)

const sync = Effect.fnUntraced(function* (name: string, asked: SyncTaskRequest) {
  const request = yield* decodeSync(asked)
  const task = yield* taskOf(request)
  const connection = yield* ConnectionLookup.find(yield* ConnectionStore, name)
  const result = yield* (yield* Engine).sync(connection, task, { spec: specOfRequest(request), wait: true })
  if (!task.dryRun) yield* afterSync
  return encodeSynced(synced(result))
})

const status = (connection: string) =>
  ApiClient.use((api) => Effect.map(api.connections.get({ params: { connection } }), encodeStatus))

const contents = (connection: string, request: typeof ContentsQuery.Type) =>
  Stream.paginate(undefined as string | undefined, (after) =>
    Effect.map(
      ApiClient.use((api) =>
        api.contents.list({
          params: { connection },
          query: {
            state: "stored",
            order: "id",
            limit: pageSize,
            ...request,
            ...(after === undefined ? {} : { after })
          }
        })
      ),
      ({ contents, next }) => [contents.map((row) => encodeRow(row)), Option.fromNullOr(next)] as const
    )
  )

const changes = ({ after, connection, follow = false }: typeof ChangesQuery.Type) =>
  Stream.paginate(after, (from) =>
    Effect.map(
      ApiClient.use((api) =>
        api.contents.changes({
          query: {
            limit: pageSize,
            wait: follow ? longestWait : 0,
            ...(from === undefined ? {} : { after: from }),
            ...(connection === undefined ? {} : { connection })
          }
        })
      ),
      ({ changes, next }) => {
        const isLast = !follow && changes.length === 0
        return [changes.map((change) => encodeChange(change)), isLast ? Option.none() : Option.some(next)] as const
      }
    )
  )

const closedError = () => new Error("this Idem is closed: open another with createIdem")

/** Opens Idem. Rejects with an error that explains what is wrong with the database, an option or a setting. */
export const createIdem = async (options: Options = {}): Promise<Idem> => {
  IdemOptions.check(options)
  const runtime = ManagedRuntime.make(layer(options))
  const context = await runtime.context().catch((error: unknown) => {
    throw IdemOptions.openingError(error)
  })
  const closed = Deferred.makeUnsafe<never, Error>()
  /** Requests fail after `close`. A request that `close` interrupts fails in the same way. */
  const run = async <A, E>(effect: Effect.Effect<A, E, ManagedRuntime.ManagedRuntime.Services<typeof runtime>>) => {
    if (Deferred.isDoneUnsafe(closed)) throw closedError()
    const exit = await runtime.runPromiseExit(effect)
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.hasInterruptsOnly(exit.cause) ? closedError() : Cause.squash(exit.cause)
  }
  /** Iterators fail after `close`. An iterator that waits for changes fails at `close`. */
  const iterate = <A, E>(stream: Stream.Stream<A, E, ApiClient>) =>
    Stream.suspend((): Stream.Stream<A, E | Error, ApiClient> =>
      Deferred.isDoneUnsafe(closed) ? Stream.fail(closedError()) : stream
    ).pipe(Stream.interruptWhen(Deferred.await(closed)), Stream.toAsyncIterableWith(context))
  return {
    connect: (request) => run(connect(request)),
    sync: (connection, request = {}) => run(sync(connection, request)),
    status: (connection) => run(status(connection)),
    contents: (connection, request = {}) =>
      iterate(Stream.unwrap(Effect.map(decodeContents(request), (query) => contents(connection, query)))),
    body: (connection, id) => iterate(Stream.unwrap(Effect.map(body(connection, id), ({ bytes }) => bytes))),
    changes: (request = {}) => iterate(Stream.unwrap(Effect.map(decodeChanges(request), changes))),
    close: () => {
      Deferred.doneUnsafe(closed, Effect.fail(closedError()))
      return runtime.dispose()
    }
  }
}
