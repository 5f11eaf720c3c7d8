/**
 * A mirror in memory that applies pages according to the contract: a minimal engine. It also checks the rules for every
 * page.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { withLateFields, type Content, type Metadata, type Ref } from "../../../src/contract/Content.ts"
import {
  ContentExistenceChecker,
  type ContentExistenceCheckerError
} from "../../../src/contract/ContentExistenceChecker.ts"
import type { AnySession, Call } from "../../../src/contract/Integration.ts"
import type { IntegrationError } from "../../../src/contract/IntegrationError.ts"
import { noParts } from "../../../src/contract/Parts.ts"
import type { Page } from "../../../src/contract/Page.ts"
import { poll, type SyncTask } from "../../../src/contract/SyncTask.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import { integration } from "../../../src/integrations/Gmail.ts"

export interface Mirror {
  readonly session: AnySession
  /** The stored contents. */
  readonly stored: Map<string, Content>
  /** The ids that are deleted at the end of this sync. */
  readonly staged: Set<string>
  /** The ids that the next sync downloads again. */
  readonly deferred: Set<string>
  /** The number of downloads of each id. */
  readonly downloads: Map<string, number>
  readonly saved: Array<Schema.Json>
  readonly pages: Array<Page<Schema.Json>>
  checkpoint: Option.Option<Schema.Json>
  checkerQueries: number
  calls: number
  units: number
  /** The number of full listings that began because the checkpoint had expired. */
  expired: number
}

export const open = Effect.fnUntraced(function* (options: {
  readonly url: string
  readonly config?: Schema.JsonObject
  readonly credentials?: Schema.JsonObject
  /** Called when a credential is to be saved. */
  readonly onSave?: (credentials: Schema.Json) => Effect.Effect<void, IntegrationError>
}) {
  let calls = 0
  let units = 0
  const saved: Array<Schema.Json> = []
  const call: Call = (_method, weight, effect) =>
    Effect.suspend(() => {
      calls += 1
      units += weight
      return effect
    })
  const session = yield* Effect.orDie(
    integration.open({
      config: { rootUrl: options.url, ...options.config },
      credentials: options.credentials ?? { accessToken: "token" },
      call,
      saveCredentials: (credentials) =>
        Effect.andThen(
          options.onSave?.(credentials) ?? Effect.void,
          Effect.sync(() => {
            saved.push(credentials)
          })
        )
    })
  )
  const mirror: Mirror = {
    session,
    stored: new Map(),
    staged: new Set(),
    deferred: new Set(),
    downloads: new Map(),
    saved,
    pages: [],
    checkpoint: Option.none(),
    checkerQueries: 0,
    expired: 0,
    get calls() {
      return calls
    },
    set calls(value) {
      calls = value
    },
    get units() {
      return units
    },
    set units(value) {
      units = value
    }
  }
  return mirror
})

/** A checker that knows the mirror's stored contents, and counts its queries. */
const checker = (mirror: Mirror): Layer.Layer<ContentExistenceChecker> =>
  Layer.succeed(ContentExistenceChecker, {
    existing: (ids) =>
      Effect.sync(() => {
        mirror.checkerQueries += 1
        return new Set(ids.filter((id) => mirror.stored.has(id) || mirror.deferred.has(id)))
      }),
    revisions: () => Effect.die("Gmail's messages have no revisions")
  })

/** Lists with the mirror's checkpoint, and applies every page, or only the first `slice` pages. Returns the pages. */
export const sync = (
  mirror: Mirror,
  options: { readonly task?: SyncTask; readonly slice?: number; readonly between?: () => void } = {}
): Effect.Effect<ReadonlyArray<Page<Schema.Json>>, IntegrationError | ContentExistenceCheckerError> =>
  Effect.suspend(() => {
    const pages: Array<Page<Schema.Json>> = []
    // A listing that is opened now began before its first page was requested.
    const before = new Set(mirror.stored.keys())
    const retried = [...mirror.deferred]
    mirror.deferred.clear()
    const listing = mirror.session.list(options.task ?? poll, mirror.checkpoint, noParts)
    return Stream.fromEffectDrain(Effect.forEach(retried, (externalId) => store(mirror, { externalId }))).pipe(
      Stream.concat(listing),
      Stream.take(options.slice ?? Infinity),
      Stream.runForEach((page) =>
        Effect.gen(function* () {
          pages.push(page)
          yield* apply(mirror, page, before)
          options.between?.()
        })
      ),
      Effect.provide(checker(mirror)),
      Effect.catchTag("IntegrationError", (error) => {
        if (error.reason._tag !== "CheckpointExpired") return Effect.fail(error)
        mirror.expired += 1
        mirror.checkpoint = Option.none()
        return Effect.map(sync(mirror, options), (more) => void pages.push(...more))
      }),
      // Deletions are staged with their pages and applied at the end, so that items which are listed again meanwhile
      // stay.
      Effect.map(() => {
        for (const id of mirror.staged) mirror.stored.delete(id)
        mirror.staged.clear()
        return pages
      })
    )
  })

const seen = new WeakMap<
  Mirror,
  { readonly listing: string; readonly before: ReadonlySet<string>; readonly ids: Set<string> }
>()

/** Returns a message's content, with its complete body. */
export const downloaded = (
  mirror: Mirror,
  ref: Ref
): Effect.Effect<Content & { readonly body: Uint8Array }, IntegrationError> =>
  Effect.gen(function* () {
    const content = yield* mirror.session.download(ref)
    const body =
      content.body instanceof Uint8Array ? content.body : Buffer.concat(yield* Stream.runCollect(content.body))
    return { ...(yield* withLateFields(content)), body: new Uint8Array(body) }
  }).pipe(Effect.scoped)

/** Downloads and stores a message. A gone message is skipped, and a deferred message waits for the next sync. */
const store = (mirror: Mirror, ref: Ref): Effect.Effect<void, IntegrationError> =>
  downloaded(mirror, ref).pipe(
    Effect.map((content) => void mirror.stored.set(ref.externalId, content)),
    Effect.catch((error) => {
      if (error.reason._tag === "Unsettled") mirror.deferred.add(ref.externalId)
      return error.reason._tag === "Gone" || error.reason._tag === "Unsettled" ? Effect.void : Effect.fail(error)
    })
  )

const apply = Effect.fnUntraced(function* (mirror: Mirror, page: Page<Schema.Json>, before: ReadonlySet<string>) {
  assert.isAtMost(page.listed.length, 1000)
  assert.isAtMost(JSON.stringify(page.checkpoint).length, 64 * 1024)
  assert.isEmpty(page.download.filter((ref) => !page.listed.some((each) => each.externalId === ref.externalId)))

  if (page.listing !== undefined) {
    const known = seen.get(mirror)
    const pass = known?.listing === page.listing ? known : { listing: page.listing, before, ids: new Set<string>() }
    seen.set(mirror, pass)
    for (const { externalId } of page.listed) pass.ids.add(externalId)
  }
  for (const ref of page.download) {
    mirror.downloads.set(ref.externalId, (mirror.downloads.get(ref.externalId) ?? 0) + 1)
    yield* store(mirror, ref)
  }
  for (const { externalId } of page.listed) mirror.staged.delete(externalId)
  for (const id of page.deleted ?? []) mirror.staged.add(id)
  for (const { externalId, metadata } of page.patches ?? []) {
    const content = mirror.stored.get(externalId)
    if (content !== undefined) {
      mirror.stored.set(externalId, { ...content, metadata: merged(content.metadata, metadata) })
    }
  }
  if (page.covers?.some((coverage) => coverage.prefix === "") === true) {
    const pass = seen.get(mirror)
    for (const id of pass?.before ?? []) if (!pass?.ids.has(id)) mirror.staged.add(id)
  }
  mirror.pages.push(page)
  mirror.checkpoint = Option.some(page.checkpoint)
})

/** Merges a patch according to RFC 7396. */
const merged = (target: Metadata, patch: Metadata): Metadata => {
  const result: Record<string, Schema.Json> = { ...target }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name]
    else if (isObject(value)) result[name] = merged(isObject(result[name]) ? result[name] : {}, value)
    else result[name] = value
  }
  return result
}

const isObject = (value: Schema.Json | undefined): value is Metadata =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Returns the stored labels of a message, sorted. */
export const labelsOf = (mirror: Mirror, id: string): ReadonlyArray<string> => {
  const labels = mirror.stored.get(id)?.metadata["labels"]
  return isObject(labels) ? Object.keys(labels).sort() : []
}

/** Runs `effect`, and returns its cost. */
export const cost = <A, E, R>(mirror: Mirror, effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = { calls: mirror.calls, units: mirror.units, checkerQueries: mirror.checkerQueries }
    const downloads = total(mirror)
    return Effect.map(effect, () => ({
      calls: mirror.calls - before.calls,
      units: mirror.units - before.units,
      checkerQueries: mirror.checkerQueries - before.checkerQueries,
      downloads: total(mirror) - downloads
    }))
  })

const total = (mirror: Mirror) => [...mirror.downloads.values()].reduce((sum, count) => sum + count, 0)

/** Starts a server with its mailbox, and a mirror of it. */
export const begin = Effect.fnUntraced(function* (
  options?: GmailServer.Options,
  config?: Record<string, string | boolean | Array<string>>
) {
  const server = yield* GmailServer.make(options)
  // Google returns at most 500 messages a page. With pages of 50, the mailbox can be a tenth of the size.
  server.mailbox.pageLimit = 50
  const mirror = yield* open({ url: server.url, ...(config === undefined ? {} : { config }) })
  return { server, mailbox: server.mailbox, mirror }
})

export const assertMirrors = (mirror: Mirror, ids: ReadonlyArray<string>) =>
  assert.deepStrictEqual([...mirror.stored.keys()].sort(), [...ids].sort())

export const assertSameLabels = (mirror: Mirror, mailbox: GmailServer.Server["mailbox"]) => {
  for (const id of mirror.stored.keys()) {
    assert.deepStrictEqual(labelsOf(mirror, id), [...(mailbox.get(id)?.labelIds ?? [])].sort(), id)
  }
}
