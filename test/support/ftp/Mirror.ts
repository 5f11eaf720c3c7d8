/** Runs the `ftp` integration like the engine, counts every call, and records the results. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import type { AnySession, Call } from "../../../src/contract/Integration.ts"
import type { IntegrationError } from "../../../src/contract/IntegrationError.ts"
import type { Network } from "../../../src/contract/Network.ts"
import { type Parts, noParts } from "../../../src/contract/Parts.ts"
import type { Page } from "../../../src/contract/Page.ts"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { integration } from "../../../src/integrations/Ftp.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as TestEngine from "../TestEngine.ts"

export interface Source {
  readonly config: unknown
  readonly credentials: unknown
  /** Defaults to an unrestricted network. */
  readonly network?: Network | undefined
}

export interface Opened {
  readonly session: AnySession
  /** The number of calls of each method so far. */
  readonly calls: Map<string, number>
}

/** Opens a source. Like the engine, it retries a Transient failure once. */
export const open = Effect.fnUntraced(function* (
  source: Source
): Effect.fn.Return<Opened, IntegrationError | Schema.SchemaError, Scope.Scope> {
  const calls = new Map<string, number>()
  const call: Call = (method, _units, effect) =>
    Effect.suspend(() => {
      calls.set(method, (calls.get(method) ?? 0) + 1)
      return Effect.retry(effect, { times: 1, while: (error) => error.reason._tag === "Transient" })
    })
  const { json } = yield* integration.decodeConfig(source.config)
  const credentials = yield* integration.decodeCredentials(source.credentials)
  const session = yield* integration.open({
    config: json,
    credentials,
    call,
    network: source.network,
    saveCredentials: () => Effect.void
  })
  return { session, calls }
})

/** Opens the same source with other settings. */
export const openWith = (source: Source & { readonly config: object }, config: Readonly<Record<string, unknown>>) =>
  open({ ...source, config: { ...source.config, ...config } })

/** Runs a test of the real engine with one connection to this source, which compares files by content. */
export const withEngine = <E, R>(
  source: Source & { readonly config: object },
  test: (connection: Connection) => Effect.Effect<void, E, R>
) =>
  Engine.use((engine) =>
    engine.connect({
      domain: "ftp",
      name: "files",
      config: { ...source.config, compare: "content" },
      credentials: source.credentials,
      every: undefined
    })
  ).pipe(
    Effect.flatMap(({ connection }) => test(connection)),
    Effect.provide(TestEngine.engineOver(Memory.layer, integration))
  )

/** Returns all pages of one listing. `known` maps the ids that the checker reports as known to their revisions. */
export const list = (
  { session }: Opened,
  options: {
    readonly task?: SyncTask.SyncTask
    readonly checkpoint?: Schema.Json | undefined
    readonly known?: ReadonlyMap<string, string | undefined>
    /** The stored parts. Pages of this listing change them. */
    readonly parts?: Map<string, Schema.Json>
  } = {}
): Effect.Effect<ReadonlyArray<Page<Schema.Json>>, unknown> =>
  session.list(options.task ?? SyncTask.poll, Option.fromUndefinedOr(options.checkpoint), partsOf(options.parts)).pipe(
    Stream.tap((page) =>
      Effect.sync(() => {
        for (const { checkpoint, key } of page.parts ?? []) {
          if (checkpoint === null) options.parts?.delete(key)
          else options.parts?.set(key, checkpoint)
        }
      })
    ),
    Stream.runCollect,
    Effect.provide(ContentExistenceChecker.layerTest(options.known ?? new Map()))
  )

const partsOf = (stored: ReadonlyMap<string, Schema.Json> | undefined): Parts<Schema.Json> =>
  stored === undefined
    ? noParts
    : {
        ...noParts,
        get: (keys) =>
          Effect.sync(
            () =>
              new Map(
                keys.flatMap((key) => {
                  const part = stored.get(key)
                  return part === undefined ? [] : [[key, part] as const]
                })
              )
          )
      }

export const idsOf = (refs: ReadonlyArray<Pick<Ref, "externalId">>): ReadonlyArray<string> =>
  refs.map(({ externalId }) => externalId)

export const listed = (pages: ReadonlyArray<Page<Schema.Json>>): ReadonlyArray<Ref> =>
  pages.flatMap((page) => page.listed)

export const chosen = (pages: ReadonlyArray<Page<Schema.Json>>): ReadonlyArray<Ref> =>
  pages.flatMap((page) => page.download)

export const problems = (pages: ReadonlyArray<Page<Schema.Json>>): ReadonlyArray<string> =>
  pages.flatMap((page) => (page.problems ?? []).map(({ place, message }) => `${place}: ${message}`))

/** Reads the body's bytes, from memory or from a stream. */
const bytesOf = (content: Content): Effect.Effect<Buffer, IntegrationError> =>
  content.body instanceof Uint8Array
    ? Effect.succeed(Buffer.from(content.body))
    : Effect.map(Stream.runCollect(content.body), (chunks) => Buffer.concat(chunks))

/** The result of one download: its bytes, or the reason of its failure. */
export interface Downloaded {
  readonly content: Content | undefined
  readonly bytes: Buffer | undefined
  readonly reason: string | undefined
  readonly message: string | undefined
}

export const download = ({ session }: Opened, ref: Ref): Effect.Effect<Downloaded> =>
  session.download(ref).pipe(
    Effect.flatMap((content) => Effect.map(bytesOf(content), (bytes) => ({ content, bytes }))),
    Effect.scoped,
    Effect.result,
    Effect.map((result) =>
      Result.isSuccess(result)
        ? { ...result.success, reason: undefined, message: undefined }
        : {
            content: undefined,
            bytes: undefined,
            reason: result.failure.reason._tag,
            message: result.failure.message
          }
    )
  )

/** Downloads these refs by external id, four at a time. */
export const downloadAll = (opened: Opened, refs: ReadonlyArray<Ref>): Effect.Effect<ReadonlyMap<string, Downloaded>> =>
  Effect.map(
    Effect.forEach(refs, (ref) => Effect.map(download(opened, ref), (result) => [ref.externalId, result] as const), {
      concurrency: 4
    }),
    (results) => new Map(results)
  )
