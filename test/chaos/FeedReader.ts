/**
 * A reader of `GET /changes` that keeps a copy of all contents in the way that docs/changes-and-webhooks.md describes:
 * if its cursor is gone, it begins again, and keeps only what the feed then reports.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Change, type Changed } from "./Endpoint.ts"
import type { Tally } from "./Tally.ts"

const decodePage = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ changes: Schema.Array(Change), next: Schema.String }))
)

export interface Options {
  /** Makes one request. Returns undefined if no process responds. */
  readonly get: (path: string) => Effect.Effect<{ readonly status: number; readonly text: string } | undefined>
  readonly tally: Tally
  readonly problems: Array<string>
}

export const make = ({ get, problems, tally }: Options) => {
  let copy = new Map<string, { readonly state: string; readonly hash: string | null }>()
  let next: string | undefined
  /** True if the cursor was given before the last failover began. */
  let isFromBefore = false
  /** A cursor from before the last failover, which must not be accepted any more. */
  let stale: string | undefined

  const step = Effect.gen(function* () {
    const after = next
    const isStale = after !== undefined && after === stale
    const answer = yield* get(`/changes?limit=7${after === undefined ? "" : `&after=${after}`}`)
    if (answer === undefined || answer.status >= 500) return
    if (answer.status === 410) {
      tally.meet("a reader's cursor gone after a failover")
      copy = new Map()
      next = undefined
      isFromBefore = false
      return
    }
    if (answer.status !== 200) return void problems.push(`reading changes: ${answer.status} ${answer.text}`)
    if (isStale) problems.push("a cursor from before a failover was accepted")
    const page = decodePage(answer.text)
    for (const { connection, content } of page.changes) copy.set(`${connection} ${content.externalId}`, content)
    next = page.next
  })

  return {
    /** Reads until it is interrupted. */
    read: Effect.forever(Effect.andThen(step, Effect.sleep(100))),
    /** Called before a standby takes over, and after. */
    failOver: (isOver: boolean) => {
      if (isOver) stale = isFromBefore ? next : undefined
      else {
        isFromBefore = next !== undefined
        tally.order("a reader's cursor gone after a failover")
      }
    },
    /** Returns the differences between the reader's copy and the database. */
    differences: (changed: ReadonlyArray<Changed>): ReadonlyArray<string> => {
      const expected = new Map(
        changed
          .filter(({ state }) => state === "stored")
          .map(({ connection, externalId, hash }) => [`${connection} ${externalId}`, hash])
      )
      const held = new Map([...copy].filter(([, { state }]) => state === "stored").map(([id, { hash }]) => [id, hash]))
      return [
        ...[...expected].flatMap(([id, hash]) =>
          held.get(id) === hash ? [] : [`a reader of the changes has ${held.get(id)} for ${id}, and not ${hash}`]
        ),
        ...[...held.keys()].flatMap((id) => (expected.has(id) ? [] : [`a reader of the changes still has ${id}`]))
      ]
    }
  }
}
