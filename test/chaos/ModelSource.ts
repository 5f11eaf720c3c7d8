/**
 * A source for the model of a run: a change log, and a listing by the order of ids. Its checkpoint says exactly which
 * items a mirror must have, so that one that stands ahead of its work is seen at once.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import { Gone, IntegrationError } from "../../src/contract/IntegrationError.ts"
import * as Integration from "../../src/contract/Integration.ts"
import type { Page } from "../../src/contract/Page.ts"

export const Checkpoint = Schema.Struct({
  /** Changes before this position of the log were listed. */
  position: Schema.Int,
  /** The listing under way: where in the log it began, and the last id that it listed. */
  pass: Schema.NullOr(Schema.Struct({ name: Schema.String, from: Schema.Int, after: Schema.String }))
})
export type Checkpoint = typeof Checkpoint.Type

/** What the model holds up, fails or lets through: each page and each download asks it first. */
export type Gate = (what: string) => Effect.Effect<void, IntegrationError>

export class ModelSource {
  /** Revisions by id. */
  readonly items = new Map<string, number>()
  readonly log: Array<string> = []
  /** The log before this position is forgotten. */
  forgotten = 0
  downloads = 0
  versions = 0
  #passes = 0
  #added = 0

  add(count: number): void {
    for (let index = 0; index < count; index += 1) {
      this.#added += 1
      // Neither the first nor the last of the listing's order.
      this.put(`${(this.#added * 7) % 10}-${this.#added}`)
    }
  }

  put(id: string): void {
    this.versions += 1
    this.items.set(id, (this.items.get(id) ?? 0) + this.versions)
    this.log.push(id)
  }

  remove(id: string): void {
    if (this.items.delete(id)) this.log.push(id)
  }

  /** The last change of an id. */
  changedAt(id: string): number {
    return this.log.lastIndexOf(id)
  }

  bytes(id: string): Uint8Array {
    return new TextEncoder().encode(`${id} at ${this.items.get(id)}`)
  }

  integration(gate: Gate): Integration.Integration {
    const refOf = (id: string) => ({ externalId: id, revision: String(this.items.get(id)) })
    const select = (ids: ReadonlyArray<string>, task: Parameters<Integration.AnySession["list"]>[0]) =>
      ContentExistenceChecker.selectNew(task, ids.map(refOf), { by: "revision" })

    return Integration.make<object, object, Checkpoint>({
      domain: "model",
      config: Schema.Struct({}),
      credentials: Schema.Struct({}),
      checkpoint: Checkpoint,
      scope: [],
      quota: () => ({ unitsPerMinute: 1e12 }),
      open: () =>
        Effect.succeed({
          account: Effect.succeed("me"),
          estimate: Effect.succeed({ unitsPerItem: 1 }),
          download: ({ externalId }) =>
            Effect.andThen(
              gate(`download ${externalId}`),
              Effect.suspend(() => {
                this.downloads += 1
                return this.items.has(externalId)
                  ? Effect.succeed({
                      kind: "thing",
                      metadata: {},
                      body: this.bytes(externalId),
                      revision: String(this.items.get(externalId))
                    })
                  : Effect.fail(new IntegrationError({ reason: new Gone({ message: `${externalId} is gone` }) }))
              })
            ),
          list: (task, given) => {
            const size = 3
            const begin = (): Checkpoint => {
              this.#passes += 1
              const name = `pass ${this.#passes}`
              return { position: this.log.length, pass: { name, from: this.log.length, after: "" } }
            }
            const changes = Effect.fnUntraced({ self: this }, function* (at: Checkpoint) {
              yield* gate("changes")
              const changed = this.log.slice(at.position, at.position + size)
              const listed = [...new Set(changed)].filter((id) => this.items.has(id))
              const page: Page<Checkpoint> = {
                listed: listed.map(refOf),
                download: yield* select(listed, task),
                deleted: changed.filter((id) => !this.items.has(id)),
                checkpoint: { ...at, position: at.position + changed.length }
              }
              return page
            })
            const listing = Effect.fnUntraced(
              { self: this },
              function* (at: Checkpoint, pass: NonNullable<Checkpoint["pass"]>) {
                yield* gate("list")
                const left = [...this.items.keys()].filter((id) => id > pass.after).toSorted()
                const ids = left.slice(0, size)
                const last = left.length <= size
                const page: Page<Checkpoint> = {
                  listed: ids.map(refOf),
                  download: yield* select(ids, task),
                  listing: pass.name,
                  covers: last ? [{ prefix: "" }] : [],
                  checkpoint: { ...at, pass: last ? null : { ...pass, after: ids.at(-1) ?? pass.after } }
                }
                return page
              }
            )
            const expired = Option.isSome(given) && given.value.position < this.forgotten
            const start = Option.isNone(given) || expired ? begin() : given.value
            return Stream.paginate(start, (at: Checkpoint) =>
              Effect.gen({ self: this }, function* () {
                if (at.position < this.log.length) {
                  const page = yield* changes(at)
                  return [[page], Option.some(page.checkpoint)] as const
                }
                if (at.pass === null) return [[], Option.none()] as const
                const page = yield* listing(at, at.pass)
                return [[page], Option.some(page.checkpoint)] as const
              })
            )
          }
        })
    })
  }
}
