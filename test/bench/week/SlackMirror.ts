/** A mirror of a Slack workspace that keeps only ids and revisions, so that millions of messages fit in memory. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import { noHints } from "../../../src/contract/Hints.ts"
import type { AnySession } from "../../../src/contract/Integration.ts"
import type { Page } from "../../../src/contract/Page.ts"
import { poll } from "../../../src/contract/SyncTask.ts"

const placeOf = (id: string) => id.slice(0, id.indexOf("/") + 1)

const at = (sets: Map<string, Set<string>>, id: string): Set<string> => {
  const place = placeOf(id)
  const found = sets.get(place) ?? new Set()
  sets.set(place, found)
  return found
}

/** Ids and revisions by conversation: the stored ones, and those that the present pass has listed. */
export class SlackMirror {
  readonly rows = new Map<string, Map<string, string | undefined>>()
  /** Ids that were stored, changed or deleted since they were last read. */
  touched = new Set<string>()
  checkpoint: Option.Option<Schema.Json> = Option.none()
  readonly parts = new Map<string, Schema.Json>()
  #listing: string | undefined
  #seen = new Map<string, Set<string>>()

  revision(id: string): Option.Option<string | undefined> {
    const place = this.rows.get(placeOf(id))
    return place?.has(id) === true ? Option.some(place.get(id)) : Option.none()
  }

  get size(): number {
    return [...this.rows.values()].reduce((sum, { size }) => sum + size, 0)
  }

  apply(page: Page<Schema.Json>): void {
    if (page.listing !== undefined && page.listing !== this.#listing) {
      this.#listing = page.listing
      this.#seen = new Map()
    }
    for (const { externalId, revision } of page.download) this.#write(externalId, revision)
    for (const { externalId, revision } of page.patches ?? []) {
      const known = this.revision(externalId)
      if (Option.isSome(known)) this.#write(externalId, revision ?? known.value)
    }
    for (const id of page.deleted ?? []) this.#remove(id)
    if (page.listing !== undefined) for (const { externalId } of page.listed) at(this.#seen, externalId).add(externalId)
    for (const { except = [], prefix } of page.covers ?? []) {
      for (const [place, rows] of this.rows) {
        if (!place.startsWith(prefix) && !prefix.startsWith(place)) continue
        const seen = this.#seen.get(place)
        for (const id of rows.keys()) {
          const isCovered = id.startsWith(prefix) && !except.some((one) => id.startsWith(one))
          if (isCovered && seen?.has(id) !== true) this.#remove(id)
        }
      }
    }
    this.checkpoint = Option.some(page.checkpoint)
    for (const { checkpoint, key } of page.parts ?? []) {
      if (checkpoint === null) this.parts.delete(key)
      else this.parts.set(key, checkpoint)
    }
  }

  #write(id: string, revision: string | undefined): void {
    const place = placeOf(id)
    const rows = this.rows.get(place) ?? new Map<string, string | undefined>()
    rows.set(id, revision)
    this.rows.set(place, rows)
    this.touched.add(id)
  }

  #remove(id: string): void {
    if (this.rows.get(placeOf(id))?.delete(id) === true) this.touched.add(id)
  }

  /** Lists until the end. */
  sync(session: AnySession) {
    const checker = Layer.succeed(ContentExistenceChecker, {
      existing: (ids) => Effect.sync(() => new Set(ids.filter((id) => Option.isSome(this.revision(id))))),
      revisions: (ids) =>
        Effect.sync(
          () =>
            new Map(
              ids.flatMap((id) => {
                const known = this.revision(id)
                return Option.isSome(known) ? [[id, Option.fromUndefinedOr(known.value)] as const] : []
              })
            )
        )
    })
    const moved = new Map(this.parts)
    const parts = {
      hinted: noHints,
      get: (keys: ReadonlyArray<string>) =>
        Effect.sync(
          () => new Map(keys.flatMap((key) => (moved.has(key) ? [[key, moved.get(key) ?? null] as const] : [])))
        )
    }
    return session.list(poll, this.checkpoint, parts).pipe(
      Stream.rechunk(1),
      Stream.runForEach((page) =>
        Effect.sync(() => {
          for (const { checkpoint, key } of page.parts ?? []) moved.set(key, checkpoint)
          this.apply(page)
        })
      ),
      Effect.provide(checker)
    )
  }
}
