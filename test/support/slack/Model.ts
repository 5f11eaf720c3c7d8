/**
 * A small model of the engine and its store: it applies pages according to the contract (a page's items before its
 * checkpoint, pages in order, absence only by `covers`), and counts repeated work.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Schema from "effect/Schema"
import type { Content, Ref } from "../../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import type { AnySession, Call } from "../../../src/contract/Integration.ts"
import { type Hinted, noHints } from "../../../src/contract/Hints.ts"
import { type IntegrationError } from "../../../src/contract/IntegrationError.ts"
import { direct } from "../../../src/contract/Network.ts"
import type { Page, Problem } from "../../../src/contract/Page.ts"
import type { Parts } from "../../../src/contract/Parts.ts"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import * as Slack from "../../../src/integrations/Slack.ts"
import { merge } from "../../../src/stores/MergePatch.ts"
import type { SlackServer } from "../SlackServer.ts"

export interface Row {
  readonly kind: string
  readonly revision: string | undefined
  readonly body: string
  readonly metadata: Schema.Json
  /** The number of writes of the row. */
  readonly writes: number
}

export interface Result {
  readonly pages: ReadonlyArray<Page<Schema.Json>>
  readonly stored: ReadonlyArray<string>
  readonly updated: ReadonlyArray<string>
  readonly unchanged: ReadonlyArray<string>
  /** Rows whose metadata a patch changed. */
  readonly patched: ReadonlyArray<string>
  readonly deleted: ReadonlyArray<string>
  readonly failed: ReadonlyMap<string, IntegrationError>
  readonly problems: ReadonlyArray<Problem>
  readonly queries: number
  readonly downloads: number
  /** True if the listing ended after `pages` pages, and has another one. */
  readonly isMoreLeft: boolean
}

const Metadata = Schema.Record(Schema.String, Schema.Json)

const decoder = new TextDecoder()

export const bodyOf = (content: Content): Effect.Effect<string, IntegrationError> =>
  content.body instanceof Uint8Array
    ? Effect.succeed(decoder.decode(content.body))
    : Effect.map(Stream.runCollect(content.body), (chunks) => decoder.decode(Buffer.concat(chunks)))

/** Makes the request directly, without limits or counts. */
const directly: Call = (_method, _units, effect) => effect

export const open = (
  server: Pick<SlackServer, "url" | "token"> & Partial<Pick<SlackServer, "fetch">>,
  config: Record<string, Schema.Json> = {},
  call: Call = directly,
  credentials: Schema.Json = { token: server.token },
  saveCredentials: (credentials: Schema.Json) => Effect.Effect<void> = () => Effect.void
): Effect.Effect<AnySession, never, Scope.Scope> =>
  Effect.orDie(
    Slack.integration.open({
      config: { slackApiUrl: server.url, ...config },
      credentials,
      network: { ...direct, fetch: server.fetch ?? direct.fetch },
      call,
      saveCredentials
    })
  )

export class Model {
  readonly rows = new Map<string, Row>()
  checkpoint: Option.Option<Schema.Json> = Option.none()
  /** The parts of the live listing, and of each task with its own checkpoint. */
  readonly parts = new Map<string, Schema.Json>()
  #ownParts = new Map<string, Schema.Json>()
  /** The size of the largest checkpoint so far, in bytes. */
  largest = 0
  largestPart = 0
  #listing: { name: string; before: ReadonlyArray<string>; seen: Set<string> } | undefined

  ids(prefix = ""): ReadonlyArray<string> {
    return Array.from(this.rows.keys())
      .filter((id) => id.startsWith(prefix))
      .sort()
  }

  /**
   * Lists, and applies the pages. `pages` ends the listing after that many pages, like a slice, once it is known
   * whether more are left. `crash` stops after that many pages, while the next page is being applied: its first item
   * may be stored, but its checkpoint is not.
   */
  run(
    session: AnySession,
    options: { task?: SyncTask.SyncTask; pages?: number; crash?: number; checkpoint?: "own"; hinted?: Hinted } = {}
  ): Effect.Effect<Result, unknown> {
    const task = options.task ?? SyncTask.poll
    const live = SyncTask.isLive(task)
    const result = {
      pages: [] as Array<Page<Schema.Json>>,
      stored: [] as Array<string>,
      updated: [] as Array<string>,
      unchanged: [] as Array<string>,
      patched: [] as Array<string>,
      deleted: [] as Array<string>,
      failed: new Map<string, IntegrationError>(),
      problems: [] as Array<Problem>,
      queries: 0,
      downloads: 0,
      isMoreLeft: false
    }
    const inflight = new Map<string, string | undefined>()
    const known = (ids: ReadonlyArray<string>) => ids.filter((id) => inflight.has(id) || this.rows.has(id))
    const checker = Layer.succeed(ContentExistenceChecker, {
      existing: (ids) => Effect.sync(() => (result.queries++, new Set(known(ids)))),
      revisions: (ids) =>
        Effect.sync(() => {
          result.queries++
          return new Map(
            known(ids).map((id) => [
              id,
              Option.fromUndefinedOr(inflight.has(id) ? inflight.get(id) : this.rows.get(id)?.revision)
            ])
          )
        })
    })

    const store = (ref: Ref, session: AnySession) =>
      Effect.gen({ self: this }, function* () {
        if (ref.content === undefined) result.downloads += 1
        const content = ref.content ?? (yield* session.download(ref))
        const body = yield* bodyOf(content)
        const before = this.rows.get(ref.externalId)
        const same = before?.body === body && JSON.stringify(before.metadata) === JSON.stringify(content.metadata)
        const outcome = before === undefined ? result.stored : same ? result.unchanged : result.updated
        outcome.push(ref.externalId)
        this.rows.set(ref.externalId, {
          kind: content.kind,
          revision: content.revision ?? ref.revision,
          body,
          metadata: content.metadata,
          writes: (before?.writes ?? 0) + (same ? 0 : 1)
        })
      }).pipe(
        Effect.scoped,
        Effect.catch((error: IntegrationError) => Effect.sync(() => void result.failed.set(ref.externalId, error)))
      )

    const apply = (page: Page<Schema.Json>) =>
      Effect.gen({ self: this }, function* () {
        // The engine also requests one more page.
        if (result.pages.length === options.pages) {
          result.isMoreLeft = true
          return false
        }
        if (page.listing !== undefined && page.listing !== this.#listing?.name) {
          this.#listing = { name: page.listing, before: Array.from(this.rows.keys()).sort(), seen: new Set() }
        }
        const crashing = options.crash !== undefined && result.pages.length >= options.crash
        const download = page.download.filter((ref) => !inflight.has(ref.externalId))
        for (const ref of crashing ? download.slice(0, 1) : download) {
          inflight.set(ref.externalId, ref.revision)
          yield* store(ref, session)
        }
        if (crashing) return false
        result.pages.push(page)
        result.problems.push(...(page.problems ?? []))
        const listing = page.listing === undefined ? undefined : this.#listing
        for (const { externalId } of page.listed) listing?.seen.add(externalId)
        for (const { externalId, metadata, revision } of page.patches ?? []) {
          const row = this.rows.get(externalId)
          if (row === undefined) continue
          const next = merge(Schema.decodeUnknownSync(Metadata)(row.metadata), metadata)
          if (JSON.stringify(next) !== JSON.stringify(row.metadata)) result.patched.push(externalId)
          this.rows.set(externalId, { ...row, metadata: next, revision: revision ?? row.revision })
        }
        const remove = (id: string) => {
          if (this.rows.delete(id)) result.deleted.push(id)
        }
        for (const id of page.deleted ?? []) remove(id)
        for (const { except = [], prefix } of page.covers ?? []) {
          for (const id of startingWith(listing?.before ?? [], prefix)) {
            if (!except.some((one) => id.startsWith(one)) && !listing?.seen.has(id)) remove(id)
          }
        }
        this.largest = Math.max(this.largest, JSON.stringify(page.checkpoint).length)
        move(stored, page)
        if (live) this.checkpoint = Option.some(page.checkpoint)
        else this.own = Option.some(page.checkpoint)
        return true
      })

    const from = live ? this.checkpoint : options.checkpoint === "own" ? this.own : Option.none()
    const stored = live ? this.parts : this.#ownParts
    if (Option.isNone(from)) stored.clear()
    // Parts that pages of this listing have moved are read back immediately, and stored with the page that moved them.
    const moved = new Map(stored)
    const parts: Parts<Schema.Json> = {
      hinted: options.hinted ?? noHints,
      get: (keys) =>
        Effect.sync(
          () => new Map(keys.flatMap((key) => (moved.has(key) ? [[key, moved.get(key) ?? null] as const] : [])))
        )
    }
    const move = (target: Map<string, Schema.Json>, page: Page<Schema.Json>) => {
      for (const { checkpoint, key } of page.parts ?? []) {
        this.largestPart = Math.max(this.largestPart, JSON.stringify(checkpoint).length)
        if (checkpoint === null) target.delete(key)
        else target.set(key, checkpoint)
      }
    }

    return session.list(task, from, parts).pipe(
      Stream.tap((page) => Effect.sync(() => move(moved, page))),
      Stream.rechunk(1),
      Stream.runForEachWhile(apply),
      Effect.provide(checker),
      Effect.map(() => result)
    )
  }
  own: Option.Option<Schema.Json> = Option.none()
}

/** Returns the sorted ids that start with this prefix. A page may cover thousands of prefixes. */
const startingWith = (sorted: ReadonlyArray<string>, prefix: string): ReadonlyArray<string> => {
  let [start, end] = [0, sorted.length]
  while (start < end) {
    const middle = (start + end) >> 1
    if ((sorted[middle] ?? "") < prefix) start = middle + 1
    else end = middle
  }
  while (sorted[end]?.startsWith(prefix) === true) end += 1
  return sorted.slice(start, end)
}

/** Returns the ids and bodies that a mirror of the server must have. */
export const expected = (server: SlackServer): ReadonlyMap<string, string> => {
  const { workspace } = server
  const all = new Map<string, string>()
  for (const channel of workspace.channels.values()) {
    for (const message of [...channel.parents, ...Array.from(channel.threads.values()).flat()]) {
      if (!message.tombstone) all.set(`${channel.id}/${message.ts}`, message.text)
    }
  }
  return all
}

/** Returns the ids and texts of the mirrored messages. */
export const mirrored = (model: Model): ReadonlyMap<string, string> =>
  new Map(
    Array.from(model.rows)
      .filter(([, row]) => row.kind === "message")
      .map(([id, row]) => [id, Schema.decodeUnknownSync(Text)(row.body).text])
  )

const Text = Schema.fromJsonString(Schema.Struct({ text: Schema.String }))
