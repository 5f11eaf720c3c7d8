/**
 * The listing of a REST source.
 *
 * - Each poll lists the resources one after the other. Content is chosen by revision, so edits are seen.
 * - A resource with `since` is listed from the time when the last complete pass began, by the server's own `Date`, less
 *   an overlap: what changed during that pass, or became visible late, is listed again, and not downloaded again. While
 *   an item of it can't be read, that time does not advance. This machine's clock is never used: a clock that is ahead
 *   would skip changes. Without a `Date`, the resource is listed in full.
 * - After a page of a resource, the children of its items that have paths of their own are listed. A listing that is
 *   interrupted there reads the page again.
 * - Only resources with `absentIsDeleted` report coverage, and only once all their items have been read. If the pages
 *   of a resource are requested conditionally and one of them has changed, all of them are read.
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "./Content.ts"
import { ContentExistenceChecker } from "./ContentExistenceChecker.ts"
import { fail } from "./HttpRequest.ts"
import { CheckpointExpired, type Reason } from "./IntegrationError.ts"
import type { Coverage, Page } from "./Page.ts"
import type { PartMove, Parts } from "./Parts.ts"
import { addressOf, makeWalk, type PageState, readItems, readPage, type Place, type RestApi } from "./RestPage.ts"
import {
  beganAt,
  type Checkpoint,
  checkpointAfter,
  checkpointAt,
  type ChildList,
  coveredBy,
  type Pass,
  resumed,
  type State,
  withNames
} from "./RestCheckpoint.ts"
import { digest, type RestItem, type RestList, type RestResource } from "./RestResource.ts"
import { inWindow, type SyncTask } from "./SyncTask.ts"

const maxRefs = 500
/** A longer address of the next page is not stored, because a part is limited to 4 KiB. */
const maxNext = 2000

/** Reasons with which a server may refuse an old cursor. */
const forgotten = new Set<Reason["_tag"]>(["Gone", "Malformed"])
/** Reasons that concern one list of children only: the other lists are still read. */
const ofOneList = new Set<Reason["_tag"]>(["Forbidden", "Gone", "Malformed", "TooLarge"])

/** Builds the content of an item from a page. */
export type ContentOf = (name: string, list: RestList, item: RestItem) => Content

export const makeListing = (
  api: RestApi,
  resources: ReadonlyArray<readonly [string, RestResource]>,
  contentOf: ContentOf
) => {
  const { host } = api.server.baseUrl
  const isListing = resources.some(([, { absentIsDeleted, children }]) =>
    [{ absentIsDeleted }, ...Object.values(children)].some((list) => list.absentIsDeleted)
  )

  /** Builds the ref of a listed item. A body with a path of its own is fetched later, by `download`. */
  const refOf = (name: string, list: RestList, prefix: string, item: RestItem): Ref => {
    const ref = { externalId: `${prefix}${item.id}`, revision: item.revision }
    const isInline = typeof item.content.body === "string" || item.content.body instanceof Uint8Array
    return isInline ? { ...ref, content: contentOf(name, list, item) } : ref
  }

  const found = (task: SyncTask, name: string, list: RestList, prefix: string, items: ReadonlyArray<RestItem>) => {
    const isListed = (item: RestItem) => item.isIncluded && !item.isDeleted && inWindow(task, item.occurredAt)
    return {
      refs: items.filter(isListed).map((item) => refOf(name, list, prefix, item)),
      deleted: items.filter(({ isDeleted }) => isDeleted).map(({ id }) => `${prefix}${id}`)
    }
  }

  const resourceOf = (name: string) => {
    const index = resources.findIndex(([one]) => one === name)
    const entry = resources[index]
    return entry === undefined
      ? fail(new CheckpointExpired({ message: `there is no resource ${name} any more` }))
      : Effect.succeed({ resource: entry[1], following: resources[index + 1]?.[0] })
  }

  const placeOf = (
    resource: RestResource,
    name: string,
    since: number | undefined,
    next: string | undefined
  ): Place => {
    const from = since === undefined ? undefined : DateTime.makeUnsafe(since)
    const query = from === undefined ? {} : (resource.since?.(from) ?? {})
    return { name, list: resource, path: resource.path, query, since: from, next }
  }

  interface Shown {
    readonly refs: ReadonlyArray<Ref>
    readonly deleted: ReadonlyArray<string>
    readonly problems: NonNullable<Page<Checkpoint>["problems"]>
    readonly covers: ReadonlyArray<Coverage>
    readonly parts?: ReadonlyArray<PartMove<PageState>>
  }

  /** Builds the pages to emit for one response, and the state after them. */
  const emit = Effect.fnUntraced(function* (task: SyncTask, before: State, after: State, shown: Shown) {
    const { following, resource } = yield* resourceOf(after.pass.resource)
    const isOver = after.queue.length === 0
    const checkpoint = isOver ? checkpointAfter(resource, following, after) : checkpointAt(after)
    const covers =
      isOver && after.onward.to === "end" ? [...shown.covers, ...coveredBy(resource, after.pass)] : shown.covers
    const chunks = Arr.isReadonlyArrayNonEmpty(shown.refs) ? Arr.chunksOf(shown.refs, maxRefs) : [[]]
    const here = checkpointAt(before)
    const pages = chunks.map((listed, index): Omit<Page<Checkpoint, PageState>, "download"> => {
      // A page of the source that was split counts as read only with the last of its chunks.
      const isLast = index === chunks.length - 1
      const { deleted, parts = [], problems } = shown
      const told = isLast ? { deleted, problems, parts, checkpoint } : { checkpoint: here }
      if (!isListing || task.window !== undefined) return { listed, ...told }
      const ended = isLast ? { covers, complete: checkpoint.pass === undefined } : {}
      return { listed, ...told, listing: before.pass.id, ...ended }
    })
    const then: Option.Option<State> =
      checkpoint.pass === undefined
        ? Option.none()
        : Option.some(
            isOver
              ? {
                  since: checkpoint.since,
                  pass: checkpoint.pass,
                  walk: after.onward.to === "page" ? after.walk : makeWalk(host, checkpoint.pass.resource),
                  isResumed: false,
                  queue: [],
                  onward: { to: "end" }
                }
              : after
          )
    return [pages, then] as const
  })

  /** Reads the pass's current page of a resource. */
  const resourceStep = Effect.fnUntraced(function* (task: SyncTask, parts: Parts<PageState>, state: State) {
    const { pass, since } = state
    const name = pass.resource
    const { resource } = yield* resourceOf(name)
    const place = placeOf(resource, name, since[name], pass.next)
    const key = resource.isConditional ? `page ${yield* digest(addressOf(api, place).href)}` : undefined
    const kept = key === undefined || pass.isAfresh === true ? undefined : (yield* parts.get([key])).get(key)
    const read = yield* Effect.catch(readPage(api, place, kept?.seen), (error) =>
      state.isResumed && pass.next !== undefined && forgotten.has(error.reason._tag)
        ? fail(new CheckpointExpired({ message: `the server no longer knows the place in ${name}: ${error.message}` }))
        : Effect.fail(error)
    )
    const { items, next, unread } = read ?? { items: [], next: kept?.next ?? undefined, unread: [] }
    yield* state.walk({ items, next })

    const refs: Array<Ref> = []
    const deleted: Array<string> = []
    const covers: Array<Coverage> = []
    const problems = unread.map((message) => ({ place: name, message }))
    const broken = unread.length > 0 ? [name] : []
    const queue: Array<ChildList> = []
    const own = found(task, name, resource, `${name}/`, items)
    refs.push(...own.refs)
    deleted.push(...own.deleted)
    for (const item of items) {
      const parent = encodeURIComponent(item.id)
      for (const [childName, at] of item.children) {
        const list = resource.children[childName]
        if (list === undefined || (!item.isIncluded && !item.isDeleted)) continue
        const prefix = `${childName}/${parent}/`
        const path = item.isDeleted || at === undefined ? [] : at
        if ("path" in path) {
          const walk = makeWalk(host, `${childName}/${parent}`)
          queue.push({ name: childName, parent, path, next: undefined, isWhole: true, walk, index: queue.length })
          continue
        }
        const inline = yield* readItems(list, childName, path)
        const shown = found(task, childName, list, prefix, inline.items)
        refs.push(...shown.refs)
        deleted.push(...shown.deleted)
        problems.push(...inline.unread.map((message) => ({ place: `${childName}/${parent}`, message })))
        if (inline.unread.length > 0) broken.push(childName)
        else if (list.absentIsDeleted && !resource.absentIsDeleted) covers.push({ prefix })
      }
    }

    const began = yield* beganAt(host, pass, since[name], read?.dated)
    const pages = read === undefined ? "unchanged" : "read"
    // The items of unchanged pages are not known. Once any page has changed, the resource is listed again in full,
    // because only then are absences visible.
    const isMixed = resource.absentIsDeleted && pass.isAfresh !== true && (pass.pages ?? pages) !== pages
    const { child, ...kind } = pass
    const { isShifted, left } = resumed(queue, child)
    // Items inserted before the place of interruption have their children listed in the next pass only: until then, no
    // child counts as absent.
    const counted = [...(read?.isCounted === true ? [name] : []), ...(isShifted ? Object.keys(resource.children) : [])]
    const after: Pass = {
      ...withNames(withNames(kind, "broken", broken), "counted", counted),
      ...(began === undefined ? {} : { began }),
      ...(resource.isConditional ? { pages } : {})
    }
    const move = key !== undefined && read !== undefined && unread.length === 0
    const tooLong = (next?.length ?? 0) > maxNext || JSON.stringify(read?.seen ?? {}).length > maxNext
    return yield* emit(
      task,
      state,
      {
        ...state,
        pass: after,
        queue: left,
        onward: isMixed ? { to: "again" } : next === undefined ? { to: "end" } : { to: "page", next }
      },
      {
        refs,
        deleted,
        problems,
        covers,
        parts: move ? [{ key, checkpoint: tooLong ? null : { seen: read.seen, next: next ?? null } }] : []
      }
    )
  })

  /** Reads the next page of the first list of children in the queue. */
  const childStep = Effect.fnUntraced(function* (task: SyncTask, state: State, child: ChildList) {
    const { pass, queue } = state
    const { resource } = yield* resourceOf(pass.resource)
    const list = resource.children[child.name]
    if (list === undefined) return yield* emit(task, state, { ...state, queue: queue.slice(1) }, nothing)
    const { path, query = {} } = child.path
    const place: Place = { name: child.name, list, path, query, since: undefined, next: child.next }
    const result = yield* Effect.result(
      Effect.tap(readPage(api, place), (read) => (read === undefined ? Effect.void : child.walk(read)))
    )
    const here = { ...state, isResumed: false }
    if (result._tag === "Failure") {
      const { reason } = result.failure
      if (!ofOneList.has(reason._tag)) return yield* Effect.fail(result.failure)
      if (state.isResumed && child.next !== undefined && forgotten.has(reason._tag)) {
        const again = { ...child, next: undefined, isWhole: true, walk: makeWalk(host, child.name) }
        return yield* emit(task, state, { ...here, queue: [again, ...queue.slice(1)] }, nothing)
      }
      // The item was deleted meanwhile.
      const isGone = reason._tag === "Gone"
      const problems = isGone ? [] : [{ place: `${child.name}/${child.parent}`, message: reason.message }]
      const failed = withNames(pass, isGone ? "counted" : "broken", [child.name])
      return yield* emit(task, state, { ...here, pass: failed, queue: queue.slice(1) }, { ...nothing, problems })
    }
    const { isCounted = false, items = [], next, unread = [] } = result.success ?? {}
    const prefix = `${child.name}/${child.parent}/`
    const { deleted, refs } = found(task, child.name, list, prefix, items)
    const isWhole = child.isWhole && unread.length === 0 && !isCounted
    const covers =
      next === undefined && isWhole && list.absentIsDeleted && !resource.absentIsDeleted ? [{ prefix }] : []
    const rest = next === undefined ? queue.slice(1) : [{ ...child, next, isWhole }, ...queue.slice(1)]
    const problems = unread.map((message) => ({ place: `${child.name}/${child.parent}`, message }))
    const read = withNames(pass, "broken", unread.length > 0 ? [child.name] : [])
    const after = { ...here, pass: withNames(read, "counted", isWhole ? [] : [child.name]), queue: rest }
    return yield* emit(task, state, after, { refs, deleted, problems, covers })
  })

  const nothing: Shown = { refs: [], deleted: [], problems: [], covers: [] }

  const begin = Effect.fnUntraced(function* (checkpoint: Option.Option<Checkpoint>) {
    const { pass, since } = Option.getOrElse(checkpoint, (): Checkpoint => ({ since: {} }))
    const id = `${yield* Clock.currentTimeMillis}-${(yield* Random.nextInt) >>> 0}`
    const name = pass?.resource ?? resources[0]?.[0] ?? ""
    return {
      since,
      pass: pass ?? { id, resource: name, broken: [], counted: [] },
      walk: makeWalk(host, name),
      isResumed: pass !== undefined,
      queue: [],
      onward: { to: "end" }
    } satisfies State
  })

  return (task: SyncTask, checkpoint: Option.Option<Checkpoint>, parts: Parts<PageState>) =>
    Stream.fromEffect(begin(checkpoint)).pipe(
      Stream.flatMap((state) =>
        Stream.paginate(state as State, (at) => {
          const [child] = at.queue
          return child === undefined ? resourceStep(task, parts, at) : childStep(task, at, child)
        })
      ),
      Stream.mapEffect((page) =>
        Effect.map(ContentExistenceChecker.selectNew(task, page.listed, { by: "revision" }), (download) => ({
          ...page,
          download
        }))
      )
    )
}
