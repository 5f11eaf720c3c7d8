/** A scripted source in memory, with which the engine's tests inject items, changes and faults. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Announced, Content, Ref } from "../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import type { Hint, Hinted } from "../../src/contract/Hints.ts"
import { field } from "../../src/contract/Field.ts"
import * as Integration from "../../src/contract/Integration.ts"
import {
  CheckpointExpired,
  Gone,
  IntegrationError,
  Malformed,
  type Reason
} from "../../src/contract/IntegrationError.ts"
import type { Page, Problem } from "../../src/contract/Page.ts"

export interface SourceItem {
  readonly revision?: string | undefined
  /** The revision that a download returns, if the item changed after it was listed. */
  readonly downloaded?: string
  readonly body: Uint8Array | Stream.Stream<Uint8Array, IntegrationError>
  readonly announced?: Announced
  /** Default `text/plain`. */
  readonly mediaType?: string | undefined
  readonly metadata?: Schema.JsonObject
  readonly at?: DateTime.Utc
  readonly bodyKey?: string
  /** The body key of the item of which this item is listed as a copy. */
  readonly copyOf?: string
}

type Change =
  | { readonly _tag: "Added"; readonly id: string }
  | { readonly _tag: "Deleted"; readonly id: string }
  | { readonly _tag: "Patched"; readonly id: string; readonly metadata: Schema.JsonObject }

/** A source that a test scripts. It records its requests. */
export class MemorySource {
  account = "me@example.com"
  pageSize = 10
  by: "id" | "revision" = "id"
  /** Changes each page before it is returned. */
  alter: (page: Page<Checkpoint>) => Partial<Page<Checkpoint>> = () => ({})
  /** True if every listing page repeats the last id of the page before. */
  repeats = false
  /** True if deletions are reported even for items that exist again. */
  tellsAll = false
  /** The problems of each page. */
  problems: ReadonlyArray<Problem> = []
  /** Ids that are missing from the full listing, although they can be downloaded. */
  readonly unlisted = new Set<string>()
  /** Changes before this position of the log are forgotten. */
  expiredBefore = 0
  readonly items = new Map<string, SourceItem>()
  readonly log: Array<Change> = []
  readonly downloaded: Array<string> = []
  /** The number of open sessions. */
  open = 0
  passes = 0
  calls: Array<string> = []
  /** The stream of hints, for credentials with a token that begins with `hints`. */
  hints: Stream.Stream<Hint, IntegrationError> = Stream.never
  /** The hints that each listing received. */
  readonly hinted: Array<Hinted> = []
  /** Called before each call of a method (`list`, `changes`, `download ID`). Its failure becomes the call's result. */
  answer: (method: string) => Effect.Effect<void, IntegrationError> = () => Effect.void

  add(id: string, item: Partial<SourceItem> = {}): void {
    this.items.set(id, { body: bytes(`body of ${id}`), ...item })
    this.log.push({ _tag: "Added", id })
  }

  addMany(count: number, prefix = "m"): void {
    const from = this.items.size
    for (let index = 0; index < count; index += 1) this.add(`${prefix}${String(from + index).padStart(6, "0")}`)
  }

  remove(id: string): void {
    this.items.delete(id)
    this.log.push({ _tag: "Deleted", id })
  }

  patch(id: string, metadata: Schema.JsonObject): void {
    const item = this.items.get(id)
    if (item === undefined) return
    this.items.set(id, { ...item, metadata: { ...item.metadata, ...metadata } })
    this.log.push({ _tag: "Patched", id, metadata })
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

export const fault = (reason: Reason): Effect.Effect<never, IntegrationError> =>
  Effect.fail(new IntegrationError({ reason }))

/** Uses this result for one method, and success for all others. */
export const only =
  (method: string, answer: ReturnType<MemorySource["answer"]>): MemorySource["answer"] =>
  (asked) =>
    asked === method ? answer : Effect.void

/** Makes the download of this item fail, for a reason that concerns only the item. */
export const failing = (id: string): MemorySource["answer"] =>
  only(`download ${id}`, fault(new Malformed({ message: "cut off" })))

const Checkpoint = Schema.Struct({
  position: Schema.Int,
  listing: Schema.optionalKey(Schema.Struct({ pass: Schema.String, after: Schema.Int }))
})
type Checkpoint = typeof Checkpoint.Type

const Config = Schema.Struct({
  folder: field(Schema.optionalKey(Schema.String), {
    title: "Folder",
    description: "Only what is in this folder.",
    example: "inbox"
  }),
  note: Schema.optionalKey(Schema.String),
  /** The URL of the server that receives the credentials. */
  server: Schema.optionalKey(Schema.String),
  quota: Schema.optionalKey(Integration.QuotaConfig)
})

const Credentials = Schema.Struct({ token: Schema.Redacted(Schema.String) })

/** The integration `memory` over one scripted source. */
export const integration = (source: MemorySource): Integration.Integration =>
  Integration.make<typeof Config.Type, typeof Credentials.Type, Checkpoint>({
    domain: "memory",
    config: Config,
    credentials: Credentials,
    checkpoint: Checkpoint,
    scope: ["folder"],
    address: ["server"],
    quota: (config) => ({ unitsPerMinute: 1_000_000_000, ...config.quota }),
    hints: ({ credentials }) =>
      Redacted.value(credentials.token).startsWith("hints") ? Stream.suspend(() => source.hints) : undefined,
    open: ({ call, config }) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          source.open += 1
        }),
        () =>
          Effect.sync(() => {
            source.open -= 1
          })
      ).pipe(Effect.as(session(source, call, config.folder ?? "")))
  })

const session = (source: MemorySource, call: Integration.Call, folder: string): Integration.Session<Checkpoint> => {
  const ask = <A>(method: string, units: number, answer: () => Effect.Effect<A, IntegrationError>) =>
    call(
      method,
      units,
      Effect.suspend(() => {
        source.calls.push(method)
        return Effect.andThen(source.answer(method), Effect.suspend(answer))
      })
    )

  const refOf = (id: string): Ref => {
    const item = source.items.get(id)
    return {
      externalId: id,
      ...(item?.revision === undefined ? {} : { revision: item.revision }),
      ...(item?.copyOf === undefined ? {} : { copy: { bodyKey: item.copyOf, metadata: {} } })
    }
  }

  const content = (id: string): Effect.Effect<Content, IntegrationError> => {
    const item = source.items.get(id)
    if (item === undefined) return fault(new Gone({ message: `${id} is gone` }))
    return Effect.succeed({
      kind: "message",
      title: `title of ${id}`,
      mediaType: item.mediaType ?? "text/plain",
      metadata: item.metadata ?? {},
      body: item.body,
      ...(item.announced === undefined ? {} : { announced: item.announced }),
      ...(item.downloaded === undefined ? {} : { revision: item.downloaded }),
      ...(item.bodyKey === undefined ? {} : { bodyKey: item.bodyKey }),
      ...(item.at === undefined ? {} : { occurredAt: item.at })
    })
  }

  return {
    account: ask("account", 1, () => Effect.succeed(source.account)),
    estimate: Effect.sync(() => ({ items: source.items.size, unitsPerItem: 2 })),
    download: (ref) =>
      ask(`download ${ref.externalId}`, 1, () => {
        source.downloaded.push(ref.externalId)
        return content(ref.externalId)
      }),
    list: (task, checkpoint, { hinted }) => {
      source.hinted.push(hinted)
      const select = (refs: ReadonlyArray<Ref>) => ContentExistenceChecker.selectNew(task, refs, { by: source.by })
      const inWindow = (id: string) => {
        const at = source.items.get(id)?.at
        const { since, until } = task.window ?? {}
        if (at === undefined) return true
        return (
          (since === undefined || DateTime.isGreaterThanOrEqualTo(at, since)) &&
          (until === undefined || DateTime.isLessThan(at, until))
        )
      }
      const from: Checkpoint = Option.getOrElse(checkpoint, () => {
        source.passes += 1
        return { position: source.log.length, listing: { pass: `pass ${source.passes}`, after: 0 } }
      })

      const changes = (state: Checkpoint) =>
        ask("changes", 1, () => {
          if (state.position < source.expiredBefore) {
            return fault(new CheckpointExpired({ message: `position ${state.position} is forgotten` }))
          }
          return Effect.succeed(source.log.slice(state.position, state.position + source.pageSize))
        })

      const changePage = (state: Checkpoint) =>
        Effect.gen(function* () {
          const found = yield* changes(state)
          const deleted = found.filter((change) => change._tag === "Deleted").map((change) => change.id)
          const listed = found
            .filter((change) => change._tag === "Added" && source.items.has(change.id) && change.id.startsWith(folder))
            .map((change) => refOf(change.id))
          const page: Page<Checkpoint> = {
            listed,
            download: yield* select(listed),
            deleted: source.tellsAll ? deleted : deleted.filter((id) => !source.items.has(id)),
            patches: found.flatMap((change) =>
              change._tag === "Patched" ? [{ externalId: change.id, metadata: change.metadata }] : []
            ),
            problems: source.problems,
            checkpoint: { ...state, position: state.position + found.length }
          }
          return page
        })

      const listingPage = (state: Checkpoint, listing: { readonly pass: string; readonly after: number }) =>
        Effect.gen(function* () {
          const all = [...source.items.keys()].filter(
            (id) => id.startsWith(folder) && inWindow(id) && !source.unlisted.has(id)
          )
          const ids = yield* ask("list", 5, () =>
            Effect.succeed(
              all.slice(Math.max(0, listing.after - (source.repeats ? 1 : 0)), listing.after + source.pageSize)
            )
          )
          const listed = ids.map(refOf)
          const after = listing.after + source.pageSize
          const last = after >= all.length
          const page: Page<Checkpoint> = {
            listed,
            download: yield* select(listed),
            problems: source.problems,
            listing: listing.pass,
            covers: last && task.window === undefined ? [{ prefix: "" }] : [],
            remaining: Math.max(0, all.length - after),
            checkpoint: last
              ? { position: state.position }
              : { position: state.position, listing: { pass: listing.pass, after } }
          }
          return page
        })

      const step = (state: Checkpoint & { readonly caughtUp?: boolean }) =>
        Effect.gen(function* () {
          if (state.caughtUp !== true && Option.isSome(checkpoint)) {
            const page = yield* changePage(state)
            const more = page.checkpoint.position < source.log.length
            const idle = page.checkpoint.position === state.position && source.problems.length === 0
            const next =
              more || state.listing !== undefined ? Option.some({ ...page.checkpoint, caughtUp: !more }) : Option.none()
            return [idle ? [] : [page], next] as const
          }
          if (state.listing === undefined) return [[], Option.none()] as const
          const page = yield* listingPage(state, state.listing)
          const next =
            page.checkpoint.listing === undefined ? Option.none() : Option.some({ ...page.checkpoint, caughtUp: true })
          return [[page], next] as const
        })
      const altered = (page: Page<Checkpoint>) => ({ ...page, ...source.alter(page) })
      if (!hinted.only) {
        return Stream.map(Stream.paginate(from as Checkpoint & { readonly caughtUp?: boolean }, step), altered)
      }
      const look = Effect.gen(function* () {
        const ids = yield* ask("look", 1, () => Effect.succeed(hinted.parts.filter((id) => source.items.has(id))))
        const listed = ids.map(refOf)
        const page: Page<Checkpoint> = { listed, download: yield* select(listed), checkpoint: from }
        return page
      })
      return Stream.fromEffect(look)
    }
  }
}
