/**
 * The label walk: rebuilds the labels of stored messages from lists of ids (5 units for 500 ids), without requesting
 * messages.
 *
 * It lists all messages, and in parallel the messages of each label (see LabelCursor.ts). Each message gets one patch,
 * which sets its labels and sets the other labels to null.
 *
 * Changes during the walk are patched after it: the history is read again from its position when the walk began
 * (`LabelWalk.since`). That is necessary because a slice reads the history before it continues the walk, and the walk
 * may then overwrite a label with an older state.
 */
import * as Effect from "effect/Effect"
import type { Patch } from "../../contract/Page.ts"
import type { Api } from "./Api.ts"
import type { Filter } from "./Config.ts"
import type { Scope } from "./HistoryChanges.ts"
import type { LabelWalk, Live, Position } from "./Checkpoint.ts"
import * as LabelCursor from "./LabelCursor.ts"
import { done, listingError, next, refused, type Source, type State, type Step, tokenRefused } from "./ListingStep.ts"

/** The most labels of one walk, to bound the checkpoint and the memory. The other labels get further walks. */
const maxLabels = 200

const concurrency = 4

/** Begins a walk, or resumes it from its checkpoint. */
const open = Effect.fnUntraced(function* (api: Api, filter: Filter, { excluded, ignored }: Scope, state: LabelWalk) {
  const all = (yield* api.labels).filter((label) => label > state.after)
  // A walk keeps the labels with which it began: a label that was created later is in the history.
  const labels = state.positions === undefined ? all.slice(0, maxLabels) : Object.keys(state.positions).sort()
  const last = labels.at(-1)
  const cursors = yield* Effect.forEach(
    labels.filter((label) => !excluded.has(label) && !ignored.has(label)),
    (label) => LabelCursor.open(api, filter, label, state.positions?.[label] ?? { pages: 1 }),
    { concurrency }
  )
  const walk: LabelCursor.Walk = {
    cursors,
    labels,
    more: last !== undefined && all.some((label) => label > last) ? last : undefined
  }
  return walk
})

/** Returns the complete label sets of one page of all messages, and the advanced walk. */
const labelPage = Effect.fnUntraced(function* (
  api: Api,
  filter: Filter,
  walk: LabelCursor.Walk,
  ids: ReadonlyArray<string>
) {
  const page = new Set(ids)
  const labelled = yield* Effect.forEach(walk.cursors, (cursor) => LabelCursor.take(api, filter, cursor, page), {
    concurrency
  })
  const patches = Array.from(page, (externalId): Patch => {
    const labels: Record<string, true | null> = Object.fromEntries(walk.labels.map((label) => [label, null]))
    for (const { cursor, found } of labelled) if (found.has(externalId)) labels[cursor.label] = true
    return { externalId, metadata: { labels } }
  })
  const after: LabelCursor.Walk = { ...walk, cursors: labelled.map(({ cursor }) => cursor) }
  return { walk: after, patches }
})

/** Returns the positions of the walk, for the checkpoint. */
const positions = (walk: LabelCursor.Walk): Readonly<Record<string, Position>> =>
  Object.fromEntries([
    ...walk.labels.map((label): [string, Position] => [label, { pages: 0 }]),
    ...walk.cursors.map((cursor): [string, Position] => [cursor.label, LabelCursor.position(cursor)])
  ])

/** Emits the patches of the next page of the label walk. */
export const step = Effect.fnUntraced(function* (
  source: Source,
  state: State,
  opened: LabelCursor.Walk | undefined
): Step<State> {
  const { api, filter, scope } = source
  const { checkpoint } = state
  const current = checkpoint.labels
  if (current === undefined) return done([])
  const begun = current.since === undefined ? {} : { since: current.since }
  const resumed = current.positions !== undefined || current.pageToken !== undefined
  const answer = yield* Effect.result(
    Effect.gen(function* () {
      const walk = opened ?? (yield* open(api, filter, scope, current))
      const list = yield* api.messages(filter, { pageToken: current.pageToken })
      const ids = (list.messages ?? []).map((message) => message.id)
      return { ...(yield* labelPage(api, filter, walk, ids)), nextPageToken: list.nextPageToken }
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
