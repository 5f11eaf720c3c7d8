/** The state of a listing. It is read from the checkpoint and the parts at the beginning, and stored with each page. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import type { PartMove, Parts } from "../../contract/Parts.ts"
import { maxParts } from "../../contract/Parts.ts"
import type { Checkpoint, Conversation, Part } from "./Checkpoint.ts"

type Writable<A> = { -readonly [K in keyof A]: A[K] }

/** The mutable form of the checkpoint and the parts during a listing. */
export type State = Writable<Omit<Checkpoint, "directories">> & {
  /** The conversations in Slack's order, and whether they are archived. */
  conversations: Map<string, { readonly archived: boolean; readonly part: Conversation }>
  directories: ReadonlyArray<string>
  /** The parts that changed since the last page. */
  readonly moved: Map<string, Part>
}

/** The state before anything was listed. */
const initial = (now: number): State => ({
  version: 2,
  conversations: new Map(),
  directories: [],
  moved: new Map(),
  movedAt: 0,
  ended: true,
  spent: { history: 0, complete: 0 },
  allowance: 0,
  passes: 0,
  tour: { at: now },
  suspectLast: false,
  users: {}
})

const directoryKey = (index: number) => `directory/${index}`

/** Reads the state: one query for the ids, and one for each 1,000 conversations. */
export const load = Effect.fnUntraced(function* (
  checkpoint: Option.Option<Checkpoint>,
  parts: Parts<Part>,
  now: number
) {
  if (Option.isNone(checkpoint)) return initial(now)
  const { directories: count, ...rest } = checkpoint.value
  const keys = Array.from({ length: count }, (_, index) => directoryKey(index))
  const found = yield* parts.get(keys)
  const directories = keys.map((key) => {
    const part = found.get(key)
    return part !== undefined && "conversations" in part ? part.conversations : ""
  })
  const ids = directories.flatMap(decodeDirectory)
  const state: State = { ...rest, directories, conversations: new Map(), moved: new Map() }
  for (let from = 0; from < ids.length; from += maxParts) {
    const some = ids.slice(from, from + maxParts)
    const known = yield* parts.get(some.map(({ id }) => id))
    for (const { archived, id } of some) {
      const part = known.get(id)
      state.conversations.set(id, { archived, part: part === undefined || "conversations" in part ? {} : part })
    }
  }
  return state
})

/** Returns when the state was last changed, in milliseconds. */
export const changedAt = ({ listedAt = 0, movedAt, roundAt = 0, users }: State): number =>
  Math.max(listedAt, movedAt, roundAt, users.at ?? 0)

/** Sets the conversations. Those that no longer exist keep their parts, in case they return. */
export const setConversations = Effect.fnUntraced(function* (
  state: State,
  found: ReadonlyArray<{ readonly id: string; readonly archived: boolean }>,
  parts: Parts<Part>
) {
  const fresh = found.filter(({ id }) => !state.conversations.has(id)).map(({ id }) => id)
  const known = new Map<string, Part>()
  for (let from = 0; from < fresh.length; from += maxParts) {
    for (const [id, part] of yield* parts.get(fresh.slice(from, from + maxParts))) known.set(id, part)
  }
  state.conversations = new Map(
    found.map(({ archived, id }) => {
      const before = known.get(id)
      const part =
        state.conversations.get(id)?.part ?? (before === undefined || "conversations" in before ? {} : before)
      return [id, { archived, part }]
    })
  )
  const directories = encodeDirectories(found)
  for (const [index, conversations] of directories.entries()) {
    if (state.directories[index] !== conversations) state.moved.set(directoryKey(index), { conversations })
  }
  state.directories = directories
})

/** Changes the stored state of a conversation. An undefined value removes its key. */
export const update = (
  state: State,
  id: string,
  changes: { readonly [K in keyof Conversation]?: Conversation[K] | undefined }
): void => {
  const before = state.conversations.get(id)
  if (before === undefined) return
  const entries = Object.entries({ ...before.part, ...changes }).filter(([, value]) => value !== undefined)
  const part: Conversation = Object.fromEntries(entries)
  if (JSON.stringify(part) === JSON.stringify(before.part)) return
  state.conversations.set(id, { archived: before.archived, part })
  state.moved.set(id, part)
}

/** The pages of a listing, or of a part of it. */
export type Pages = Stream.Stream<
  Page<Checkpoint, Part>,
  IntegrationError | ContentExistenceCheckerError,
  ContentExistenceChecker
>

export interface Saved {
  readonly checkpoint: Checkpoint
  readonly parts: ReadonlyArray<PartMove<Part>>
}

/** Returns the state for a page: its checkpoint, and the parts that changed since the previous page. */
export const save = (state: State): Saved => {
  const { conversations: _, directories, moved, ...rest } = state
  const parts = Array.from(moved, ([key, checkpoint]) => ({ key, checkpoint }))
  moved.clear()
  return { checkpoint: { ...rest, directories: directories.length }, parts }
}

/** The ids in one part, of 13 characters and a separator each, in less than 4 KiB. */
const idsInPart = 240
const separator = ","

const encodeDirectories = (found: ReadonlyArray<{ readonly id: string; readonly archived: boolean }>) => {
  const ids = found.map(({ archived, id }) => `${id}${archived ? "~" : ""}`)
  return Array.from({ length: Math.ceil(ids.length / idsInPart) }, (_, index) =>
    ids.slice(index * idsInPart, (index + 1) * idsInPart).join(separator)
  )
}

const decodeDirectory = (text: string) =>
  text
    .split(separator)
    .filter((one) => one !== "")
    .map((one) => ({ id: one.replace("~", ""), archived: one.endsWith("~") }))
