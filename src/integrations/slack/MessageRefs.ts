/**
 * Turns messages into refs and pages: selects what is listed, downloaded and deleted in a conversation, and under which
 * revision.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Ref } from "../../contract/Content.ts"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Coverage, Page, Patch, Problem } from "../../contract/Page.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { Checkpoint, Part } from "./Checkpoint.ts"
import type { Saved } from "./State.ts"
import type { Client } from "./Client.ts"
import * as Message from "./Message.ts"
import type { PlanLimit } from "./PlanLimit.ts"
import { compareTs } from "./Timestamp.ts"

/** The most refs of one page, from the contract. */
export const maxRefs = 1000

/** Returns the number of refs of a message: itself and its files. */
export const sizeOf = (message: Message.Message) => 1 + (message.files?.length ?? 0)

export const grouped = (messages: ReadonlyArray<Message.Message>): ReadonlyArray<ReadonlyArray<Message.Message>> => {
  const groups: Array<Array<Message.Message>> = []
  let refs = maxRefs
  for (const message of messages) {
    if (refs + sizeOf(message) > maxRefs) {
      groups.push([])
      refs = 0
    }
    groups.at(-1)?.push(message)
    refs += sizeOf(message)
  }
  return groups
}

/** The context that all passes of a listing share. */
export interface Env {
  readonly client: Client
  readonly task: SyncTask
  readonly files: boolean
  /** The number of objects in one response, and the most calls for threads before a page is emitted. */
  readonly limit: number
  readonly callsPerStep: number
  readonly planLimit: PlanLimit
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** The bounds of a windowed task: since inclusive, until exclusive. */
  readonly since: string | undefined
  readonly until: string | undefined
}

export const make = (
  env: Env,
  { channel, listing }: { readonly channel: string; readonly listing?: string | undefined }
) => {
  const { task } = env
  const idOf = (ts: string) => Message.messageId(channel, ts)
  const inWindow = (ts: string) =>
    (env.since === undefined || compareTs(ts, env.since) >= 0) &&
    (env.until === undefined || compareTs(ts, env.until) < 0)

  const fileRefs = (message: Message.Message) =>
    env.files
      ? Message.filesOf(message)
          .filter((file) => !Message.isDeletedFile(file) && !Message.isWithheldFile(file))
          .map((file) => Message.fileRef(file))
      : []

  const refsOf = (message: Message.Message, revision = Message.revisionOf(message)): ReadonlyArray<Ref> => {
    if (!inWindow(message.ts) || Message.isTombstone(message)) return []
    return [{ externalId: idOf(message.ts), revision }, ...fileRefs(message)]
  }

  const deletedOf = (message: Message.Message): ReadonlyArray<string> => [
    ...(Message.isTombstone(message) && inWindow(message.ts) ? [idOf(message.ts)] : []),
    ...Message.filesOf(message)
      .filter((file) => env.files && Message.isDeletedFile(file))
      .map((file) => `files/${file.id}`)
  ]

  /**
   * Chooses what to download, with one query and the usual rules for `force`. `patched` are messages of which only the
   * reactions or the thread changed; `changed` are parents whose stored thread differs from Slack's; `lostReplies` is
   * the number of replies by which a parent's thread is shorter than the stored one; `known` has the stored revisions.
   */
  const select = Effect.fnUntraced(function* (
    messages: ReadonlyArray<Message.Message>,
    parents: ReadonlyArray<Message.Message>
  ) {
    const refs = messages.flatMap((message) => refsOf(message))
    const checker = yield* ContentExistenceChecker
    const known = new Map<string, string>()
    const infoOnly = new Set(
      messages
        .flatMap((message) => Message.filesOf(message).filter(Message.isInfoOnly))
        .map((file) => `files/${file.id}`)
    )
    const chosen = yield* ContentExistenceChecker.selectNew(task, refs, { by: "revision" }).pipe(
      Effect.provideService(ContentExistenceChecker, {
        existing: checker.existing,
        revisions: (ids) =>
          Effect.map(checker.revisions(ids), (revisions) => {
            for (const [id, revision] of revisions)
              known.set(
                id,
                Option.getOrElse(revision, () => Message.partial)
              )
            // The stored revision of such a file comes from `files.info`, and its message has none to compare with it.
            return new Map(
              Array.from(revisions, ([id, revision]) => [id, infoOnly.has(id) ? Option.none() : revision] as const)
            )
          })
      })
    )
    const patched = new Set<string>()
    if (!task.force) {
      for (const message of messages) {
        const id = idOf(message.ts)
        const before = known.get(id)
        const isForced = task.forceIds.includes(id)
        if (before !== undefined && !isForced && Message.isSameBody(before, Message.revisionOf(message)))
          patched.add(id)
      }
    }
    const changed = new Set<string>()
    const lostReplies = new Map<string, number>()
    for (const parent of parents) {
      if (!Message.hasThread(parent)) continue
      const revision = known.get(idOf(parent.ts))
      const before = revision === undefined ? undefined : Message.repliesOf(revision)
      const count = parent.reply_count ?? 0
      if (before !== undefined && count < before.count) lostReplies.set(parent.ts, before.count - count)
      if (before === undefined || before.count !== count || before.latest !== (parent.latest_reply ?? "")) {
        changed.add(parent.ts)
      }
    }
    const ids = chosen.map((ref) => ref.externalId)
    return {
      chosen: new Set(ids.filter((id) => !patched.has(id))),
      patched: new Set(ids.filter((id) => patched.has(id))),
      changed,
      lostReplies,
      known
    }
  })

  /**
   * A windowed task lists only a part of a thread, so the parent's revision must not state that all of it is stored.
   */
  const parentRevision = (parent: Message.Message) => {
    const latest = parent.latest_reply ?? undefined
    const whole = env.until === undefined || (latest !== undefined && compareTs(latest, env.until) < 0)
    return Message.hasThread(parent) && !whole ? `${Message.revisionOf(parent)}${Message.partial}` : undefined
  }

  const contentRef = (message: Message.Message, revision: string): Ref => ({
    externalId: idOf(message.ts),
    revision,
    content: Message.messageContent(channel, message)
  })

  const page = (
    messages: ReadonlyArray<Message.Message>,
    selected: { readonly chosen: ReadonlySet<string>; readonly patched: ReadonlySet<string> },
    saved: Saved & { readonly complete?: boolean },
    options: {
      readonly problems?: ReadonlyArray<Problem>
      readonly covers?: ReadonlyArray<Coverage>
      readonly cut?: ReadonlySet<string>
    }
  ): Page<Checkpoint, Part> => {
    const { chosen, patched } = selected
    const listed: Array<Ref> = []
    const download: Array<Ref> = []
    const patches: Array<Patch> = []
    for (const message of messages) {
      const cut = options.cut?.has(message.ts) === true ? `${Message.revisionOf(message)}${Message.partial}` : undefined
      const revision = cut ?? parentRevision(message) ?? Message.revisionOf(message)
      for (const ref of refsOf(message, revision)) {
        listed.push(ref)
        const { externalId } = ref
        if (patched.has(externalId)) patches.push({ externalId, metadata: Message.statePatch(message), revision })
        if (!chosen.has(ref.externalId)) continue
        download.push(ref.externalId === idOf(message.ts) ? contentRef(message, revision) : ref)
      }
    }
    return {
      listed,
      download,
      deleted: messages.flatMap(deletedOf),
      patches,
      problems: options.problems,
      listing,
      covers: options.covers,
      ...saved
    }
  }

  return { idOf, inWindow, refsOf, select, page }
}
