/**
 * The label walk: rebuilds the labels of stored messages from lists of ids (5 units for 500 ids), and fetches no
 * message.
 *
 * All messages are listed, and each label's messages beside them. Both come newest first, so that for one page of all
 * messages only a few pages of each label must be held: those on which its ids were last found, and one more to look
 * ahead. A label's page is passed once an id of it was found, so an id that is in a label's list but not among all
 * messages (it arrived or left meanwhile) holds nothing up. Each message gets one patch, which sets the labels that it
 * has and nulls the others.
 *
 * Changes during the walk are patched after it: the history is read again from its position when the walk began
 * (`LabelWalk.since`). A slice reads the history before it continues the walk, and the walk may then overwrite a label
 * with an older listing.
 */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Patch } from "../../contract/Page.ts"
import type { Api, Filter } from "./Api.ts"
import type { LabelWalk, Live, Position } from "./Checkpoint.ts"
import { done, listingError, next, refused, type Source, type State, type Step, tokenRefused } from "./ListingStep.ts"

/** Labels of one walk; the rest gets walks of its own. Bounds the checkpoint and the memory. */
const maxLabels = 200

/** Pages of one label held at a time. Ids still on an older page are of messages that all messages don't list. */
const maxHeld = 3

const concurrency = 4

interface HeldPage {
  /** Its place among the label's pages that were loaded. */
  readonly at: number
  readonly token: string | undefined
  readonly ids: Set<string>
  found: boolean
}

interface Cursor {
  readonly label: string
  readonly held: Array<HeldPage>
  /** The token of the page after the last one held; undefined at the end. */
  next: string | undefined
}

export interface Walk {
  readonly cursors: ReadonlyArray<Cursor>
  /** Labels of this walk, whether they are listed or (as those of excluded messages) only nulled. */
  readonly labels: ReadonlyArray<string>
  /** The last label, where labels are left for another walk. */
  readonly more: string | undefined
}

/** Begins a walk, or takes it up where its checkpoint left it. */
const open = Effect.fnUntraced(function* (api: Api, filter: Filter, excluded: ReadonlySet<string>, state: LabelWalk) {
  const all = (yield* api.labels).filter((label) => label > state.after)
  // A walk keeps the labels it began with: one that was made since is in the history.
  const labels = state.positions === undefined ? all.slice(0, maxLabels) : Object.keys(state.positions).sort()
  const last = labels.at(-1)
  const cursors = yield* Effect.forEach(
    labels.filter((label) => !excluded.has(label)),
    (label) => openCursor(api, filter, label, state.positions?.[label] ?? { pages: 1 }),
    { concurrency }
  )
  const walk: Walk = {
    cursors,
    labels,
    more: last !== undefined && all.some((label) => label > last) ? last : undefined
  }
  return walk
})

/** The complete label sets of one page of all messages. */
const patchesOf = Effect.fnUntraced(function* (api: Api, filter: Filter, walk: Walk, ids: ReadonlyArray<string>) {
  const page = new Set(ids)
  const labelled = yield* Effect.forEach(walk.cursors, (cursor) => take(api, filter, cursor, page), { concurrency })
  return Array.from(page, (externalId): Patch => {
    const labels: Record<string, true | null> = Object.fromEntries(walk.labels.map((label) => [label, null]))
    walk.cursors.forEach((cursor, at) => {
      if (labelled[at]?.has(externalId) === true) labels[cursor.label] = true
    })
    return { externalId, metadata: { labels } }
  })
})

/** Where the walk is, for the checkpoint. */
const positions = (walk: Walk): Readonly<Record<string, Position>> =>
  Object.fromEntries([
    ...walk.labels.map((label): [string, Position] => [label, { pages: 0 }]),
    ...walk.cursors.map(({ label, held }): [string, Position] => {
      const token = held[0]?.token
      return [label, { ...(token === undefined ? {} : { token }), pages: held.length }]
    })
  ])

const openCursor = Effect.fnUntraced(function* (api: Api, filter: Filter, label: string, position: Position) {
  const cursor: Cursor = { label, held: [], next: position.token }
  for (let page = 0; page < position.pages && (page === 0 || cursor.next !== undefined); page++) {
    yield* load(api, filter, cursor)
  }
  return cursor
})

/** Takes those ids of the page that have the label out of what is held, loading on while pages are being used up. */
const take = Effect.fnUntraced(function* (api: Api, filter: Filter, cursor: Cursor, page: ReadonlySet<string>) {
  const taken = new Set<string>()
  const find = (held: HeldPage) => {
    for (const id of held.ids) {
      if (!page.has(id)) continue
      taken.add(id)
      held.ids.delete(id)
      held.found = true
    }
  }
  cursor.held.forEach(find)
  for (let last = cursor.held.at(-1); last?.found === true && cursor.next !== undefined; last = cursor.held.at(-1)) {
    const loaded = yield* load(api, filter, cursor)
    find(loaded)
  }
  // The held pages have no gap, so that a checkpoint can store them as a token and a number of pages. The page before
  // the oldest page in use stays too: if the walk continues under tokens that shift, ids that moved up are still found.
  const end = cursor.held.at(-1)?.at ?? 0
  const oldest = cursor.held.findIndex(({ at, ids }) => at > end - maxHeld && (ids.size > 0 || at === end))
  cursor.held.splice(0, Math.max(0, oldest - 1))
  if (cursor.next === undefined && cursor.held.every(({ ids }) => ids.size === 0)) cursor.held.length = 0
  return taken
})

const load = (api: Api, filter: Filter, cursor: Cursor): Effect.Effect<HeldPage, IntegrationError> =>
  api.messages({ ...filter, labelIds: [...(filter.labelIds ?? []), cursor.label] }, { pageToken: cursor.next }).pipe(
    // A label that was removed since the walk began is no label any more: no message has it.
    Effect.catch((error) =>
      cursor.next === undefined && (error.reason._tag === "Malformed" || error.reason._tag === "Gone")
        ? Effect.succeed({ messages: [], nextPageToken: undefined })
        : Effect.fail(error)
    ),
    Effect.map((list) => {
      const held: HeldPage = {
        at: (cursor.held.at(-1)?.at ?? -1) + 1,
        token: cursor.next,
        ids: new Set((list.messages ?? []).map((message) => message.id)),
        found: false
      }
      cursor.held.push(held)
      cursor.next = list.nextPageToken
      return held
    })
  )

/** Gives the patches of the next page of the label walk. */
export const step = Effect.fnUntraced(function* (source: Source, state: State, opened: Walk | undefined): Step<State> {
  const { api, filter, scope } = source
  const { checkpoint } = state
  const current = checkpoint.labels
  if (current === undefined) return done([])
  const begun = current.since === undefined ? {} : { since: current.since }
  const resumed = current.positions !== undefined || current.pageToken !== undefined
  const answer = yield* Effect.result(
    Effect.gen(function* () {
      const walk = opened ?? (yield* open(api, filter, scope.excluded, current))
      const list = yield* api.messages(filter, { pageToken: current.pageToken })
      const ids = (list.messages ?? []).map((message) => message.id)
      return { walk, nextPageToken: list.nextPageToken, patches: yield* patchesOf(api, filter, walk, ids) }
    })
  )
  if (answer._tag === "Failure") {
    if (!resumed || !tokenRefused(answer.failure)) return yield* listingError(answer.failure)
    const again: LabelWalk = { ...begun, after: current.after }
    return yield* refused<State>({ ...state, checkpoint: { ...checkpoint, labels: again }, stage: { _tag: "Labels" } })
  }

  const { walk, nextPageToken, patches } = answer.success
  const { labels: _, ...rest } = checkpoint
  const after: Live =
    nextPageToken !== undefined
      ? {
          ...rest,
          labels: { ...begun, after: current.after, pageToken: nextPageToken, positions: positions(walk) }
        }
      : walk.more !== undefined
        ? { ...rest, labels: { ...begun, after: walk.more } }
        : // Changes of labels that were read while the walk went on may have been overwritten by what it had listed before.
          { ...rest, historyId: current.since ?? rest.historyId }
  const pages = [{ listed: [], download: [], patches, checkpoint: after }]
  if (after.labels === undefined) return done(pages)
  const kept = nextPageToken === undefined ? undefined : walk
  return next(pages, { ...state, checkpoint: after, stage: { _tag: "Labels", walk: kept } })
})
