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
import { CheckpointExpired, type IntegrationError, type Reason } from "./IntegrationError.ts"
import type { Coverage, Page, Problem } from "./Page.ts"
import type { PartMove, Parts } from "./Parts.ts"
import {
  addressOf,
  makePageCheck,
  type PageState,
  readItems,
  readPage,
  readPageIfChanged,
  type ReadPage,
  type Place,
  type RestApi
} from "./RestPage.ts"
import {
  beganAt,
  type Checkpoint,
  checkpointAfter,
  checkpointAt,
  type ChildList,
  coveredBy,
  isCoveredAlone,
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

/** The items of one list in a response. */
interface Found {
  readonly refs?: ReadonlyArray<Ref>
  readonly deleted?: ReadonlyArray<string>
  readonly problems?: ReadonlyArray<Problem>
  readonly covers?: ReadonlyArray<Coverage>
}

export const makeListing =
  (api: RestApi, resources: ReadonlyArray<readonly [string, RestResource]>, contentOf: ContentOf) =>
  (task: SyncTask, checkpoint: Option.Option<Checkpoint>, parts: Parts<PageState>) => {
    const { host } = api.server.baseUrl
    const isListing = resources.some(([, resource]) =>
      [resource, ...Object.values(resource.children)].some((list) => list.absentIsDeleted)
    )

    const resourceOf = (name: string) => {
      const index = resources.findIndex(([one]) => one === name)
      const entry = resources[index]
      return entry === undefined
        ? fail(new CheckpointExpired({ message: `there is no resource ${name} any more` }))
        : Effect.succeed({ resource: entry[1], following: resources[index + 1]?.[0] })
    }

    /** Builds the ref of a listed item. A body with a path of its own is fetched later, by `download`. */
    const refOf = (name: string, list: RestList, externalId: string, item: RestItem): Ref => {
      const ref = { externalId, revision: item.revision }
      const isInline = typeof item.content.body === "string" || item.content.body instanceof Uint8Array
      return isInline ? { ...ref, content: contentOf(name, list, item) } : ref
    }

    /** Finds the items of a list. `parent` is the encoded id of the item that the list belongs to. */
    const findItems = (
      { list, name, parent }: { readonly name: string; readonly list: RestList; readonly parent?: string },
      { items, unread }: Pick<ReadPage, "items" | "unread">
    ): Found => {
      const place = parent === undefined ? name : `${name}/${parent}`
      const isListed = (item: RestItem) => item.isIncluded && !item.isDeleted && inWindow(task, item.occurredAt)
      return {
        refs: items.filter(isListed).map((item) => refOf(name, list, `${place}/${item.id}`, item)),
        deleted: items.filter(({ isDeleted }) => isDeleted).map(({ id }) => `${place}/${id}`),
        problems: unread.map((message) => ({ place, message }))
      }
    }

    /** Returns the state before the pass's current page is read. */
    const beforePage = (since: Checkpoint["since"], pass: Pass): State => {
      const checkPage = makePageCheck(host, pass.resource)
      return { since, pass, checkPage, isResumed: false, queue: [], onward: { to: "end" } }
    }

    /** Builds the pages to emit for one response, and the state after them. */
    const emit = Effect.fnUntraced(function* (
      before: State,
      after: State,
      found: ReadonlyArray<Found>,
      parts: ReadonlyArray<PartMove<PageState>> = []
    ) {
      const { following, resource } = yield* resourceOf(after.pass.resource)
      const isOver = after.queue.length === 0
      const checkpoint = isOver ? checkpointAfter(resource, following, after) : checkpointAt(after)
      const isEnd = isOver && after.onward.to === "end"
      const refs = found.flatMap(({ refs = [] }) => refs)
      const deleted = found.flatMap(({ deleted = [] }) => deleted)
      const problems = found.flatMap(({ problems = [] }) => problems)
      const covered = found.flatMap(({ covers = [] }) => covers)
      const covers = isEnd ? [...covered, ...coveredBy(resource, after.pass)] : covered
      const chunks = Arr.isReadonlyArrayNonEmpty(refs) ? Arr.chunksOf(refs, maxRefs) : [[]]
      const pages = chunks.map((listed, index): Omit<Page<Checkpoint, PageState>, "download"> => {
        // A page of the source that was split counts as read only with the last of its chunks.
        const isLast = index === chunks.length - 1
        const end = isLast ? { deleted, problems, parts, checkpoint } : { checkpoint: checkpointAt(before) }
        if (!isListing || task.window !== undefined) return { listed, ...end }
        const coverage = isLast ? { covers, complete: checkpoint.pass === undefined } : {}
        return { listed, ...end, listing: before.pass.id, ...coverage }
      })
      if (checkpoint.pass === undefined) return [pages, Option.none<State>()] as const
      if (!isOver) return [pages, Option.some(after)] as const
      const next = beforePage(checkpoint.since, checkpoint.pass)
      const isSameList = after.onward.to === "page"
      return [pages, Option.some(isSameList ? { ...next, checkPage: after.checkPage } : next)] as const
    })

    /** Requests a page of a resource, conditionally if it was stored before. An unchanged page has no items. */
    const requestPage = Effect.fnUntraced(function* (resource: RestResource, { isResumed, pass, since }: State) {
      const name = pass.resource
      const from = since[name] === undefined ? undefined : DateTime.makeUnsafe(since[name])
      const query = from === undefined ? {} : (resource.since?.(from) ?? {})
      const place: Place = { name, list: resource, path: resource.path, query, since: from, next: pass.next }
      const key = resource.isConditional ? `page ${yield* digest(addressOf(api, place).href)}` : undefined
      const stored = key === undefined || pass.isAfresh === true ? undefined : (yield* parts.get([key])).get(key)
      const read = yield* Effect.catch(readPageIfChanged(api, place, stored?.seen ?? {}), (error) =>
        isResumed && pass.next !== undefined && forgotten.has(error.reason._tag)
          ? fail(
              new CheckpointExpired({ message: `the server no longer knows the place in ${name}: ${error.message}` })
            )
          : Effect.fail(error)
      )
      if (read === undefined) {
        const unchanged = { items: [], unread: [], next: stored?.next ?? undefined, dated: undefined, isCounted: false }
        return { ...unchanged, pages: "unchanged", moves: [] } as const
      }
      const { next = null, seen, unread } = read
      const isTooLong = (next?.length ?? 0) > maxNext || JSON.stringify(seen).length > maxNext
      const moves =
        key === undefined || unread.length > 0 ? [] : [{ key, checkpoint: isTooLong ? null : { seen, next } }]
      return { ...read, pages: "read", moves } as const
    })

    /**
     * Finds the children of items: reads those that the items contain, and queues the lists that have a path of their
     * own. `broken` names the resources with children that can't be read.
     */
    const findChildren = Effect.fnUntraced(function* (resource: RestResource, items: ReadonlyArray<RestItem>) {
      const contained: Array<Found> = []
      const broken: Array<string> = []
      const queue: Array<ChildList> = []
      for (const item of items.filter(({ isDeleted, isIncluded }) => isIncluded || isDeleted)) {
        const parent = encodeURIComponent(item.id)
        for (const [name, children = []] of item.children) {
          const list = resource.children[name]
          if (list === undefined) continue
          const path = item.isDeleted ? [] : children
          const place = `${name}/${parent}`
          if ("path" in path) {
            const checkPage = makePageCheck(host, place)
            queue.push({ name, parent, path, next: undefined, isWhole: true, checkPage, index: queue.length })
            continue
          }
          const page = yield* readItems(list, name, path)
          const isWhole = page.unread.length === 0
          if (!isWhole) broken.push(name)
          const covers = isWhole && isCoveredAlone(resource, list) ? [{ prefix: `${place}/` }] : []
          contained.push({ ...findItems({ name, list, parent }, page), covers })
        }
      }
      return { contained, broken, queue }
    })

    /** Reads the pass's current page of a resource. */
    const resourceStep = Effect.fnUntraced(function* (state: State) {
      const { child, ...pass } = state.pass
      const name = pass.resource
      const { resource } = yield* resourceOf(name)
      const { moves, pages, ...page } = yield* requestPage(resource, state)
      const { isCounted, items, next, unread } = page
      yield* state.checkPage(page)
      const { broken, contained, queue } = yield* findChildren(resource, items)
      const began = yield* beganAt(host, pass, state.since[name], page.dated)
      const { isShifted, left } = resumed(queue, child)
      // Items inserted before the place of interruption have their children listed in the next pass only: until then,
      // no child counts as absent.
      const counted = [...(isCounted ? [name] : []), ...(isShifted ? Object.keys(resource.children) : [])]
      if (unread.length > 0) broken.push(name)
      // The items of unchanged pages are not known. Once any page has changed, the resource is listed again in full,
      // because only then are absences visible.
      const isMixed = resource.absentIsDeleted && pass.isAfresh !== true && (pass.pages ?? pages) !== pages
      const after: State = {
        ...state,
        pass: {
          ...withNames(pass, { broken, counted }),
          ...(began === undefined ? {} : { began }),
          ...(resource.isConditional ? { pages } : {})
        },
        queue: left,
        onward: isMixed ? { to: "again" } : next === undefined ? { to: "end" } : { to: "page", next }
      }
      return yield* emit(state, after, [findItems({ name, list: resource }, page), ...contained], moves)
    })

    /** Skips a list of children that can't be read, or reads it from its beginning if only its place is unknown. */
    const skipList = Effect.fnUntraced(function* (state: State, child: ChildList, error: IntegrationError) {
      const { reason } = error
      if (!ofOneList.has(reason._tag)) return yield* Effect.fail(error)
      const after = { ...state, isResumed: false, queue: state.queue.slice(1) }
      if (state.isResumed && child.next !== undefined && forgotten.has(reason._tag)) {
        const again = { ...child, next: undefined, isWhole: true, checkPage: makePageCheck(host, child.name) }
        return yield* emit(state, { ...after, queue: [again, ...after.queue] }, [])
      }
      // If the list is gone, the item was deleted meanwhile.
      const isGone = reason._tag === "Gone"
      const problems = isGone ? [] : [{ place: `${child.name}/${child.parent}`, message: reason.message }]
      const pass = withNames(state.pass, { [isGone ? "counted" : "broken"]: [child.name] })
      return yield* emit(state, { ...after, pass }, [{ problems }])
    })

    /** Reads the next page of the first list of children in the queue. */
    const childStep = Effect.fnUntraced(function* (state: State, child: ChildList) {
      const { name, parent } = child
      const { resource } = yield* resourceOf(state.pass.resource)
      const list = resource.children[name]
      const others = state.queue.slice(1)
      if (list === undefined) return yield* emit(state, { ...state, queue: others }, [])
      const { path, query = {} } = child.path
      const place: Place = { name, list, path, query, since: undefined, next: child.next }
      const result = yield* Effect.result(Effect.tap(readPage(api, place), child.checkPage))
      if (result._tag === "Failure") return yield* skipList(state, child, result.failure)
      const { isCounted, items, next, unread } = result.success
      const isWhole = child.isWhole && unread.length === 0 && !isCounted
      const isCovered = next === undefined && isWhole && isCoveredAlone(resource, list)
      const covers = isCovered ? [{ prefix: `${name}/${parent}/` }] : []
      const after: State = {
        ...state,
        isResumed: false,
        pass: withNames(state.pass, { broken: unread.length > 0 ? [name] : [], counted: isWhole ? [] : [name] }),
        queue: next === undefined ? others : [{ ...child, next, isWhole }, ...others]
      }
      return yield* emit(state, after, [{ ...findItems({ name, list, parent }, { items, unread }), covers }])
    })

    const begin = Effect.gen(function* () {
      const { pass, since } = Option.getOrElse(checkpoint, (): Checkpoint => ({ since: {} }))
      const id = `${yield* Clock.currentTimeMillis}-${(yield* Random.nextInt) >>> 0}`
      const state = beforePage(since, pass ?? { id, resource: resources[0]?.[0] ?? "", broken: [], counted: [] })
      return { ...state, isResumed: pass !== undefined }
    })

    return Stream.fromEffect(begin).pipe(
      Stream.flatMap((state) =>
        Stream.paginate(state, (at) => {
          const [child] = at.queue
          return child === undefined ? resourceStep(at) : childStep(at, child)
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
