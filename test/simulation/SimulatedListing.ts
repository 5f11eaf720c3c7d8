/** The listing of a simulated source: a log of changes, passes over the whole source, or passes over its parts. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Ref } from "../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import type { Coverage, Page } from "../../src/contract/Page.ts"
import type { Parts } from "../../src/contract/Parts.ts"
import { inWindow, isLive, type SyncTask } from "../../src/contract/SyncTask.ts"
import type { Caller } from "./Caller.ts"
import type { Checkpoint, Pass, Round } from "./SimulatedCheckpoint.ts"
import { type Edge, errorOf, type Requests, type Slice } from "./SimulatedRequests.ts"
import { occurredAt, type SimulatedSource } from "./SimulatedSource.ts"

/** A key after every other key. */
const end = "\uffff"

export interface Options {
  readonly edge: Edge
  readonly source: SimulatedSource
  readonly caller: Caller
  readonly requests: Requests
  readonly slice: Slice
  readonly scope: ReadonlyArray<string>
}

export const list = (
  { caller, edge, requests: { ask, refOf }, scope, slice, source }: Options,
  task: SyncTask,
  given: Option.Option<Checkpoint>,
  { hinted }: Parts<unknown>
) => {
  const { profile } = source
  slice.isListing = true
  const inScope = (id: string): boolean => scope.some((folder) => id.startsWith(folder))
  const isWindowed = task.window !== undefined
  const inTask = (id: string) => inScope(id) && inWindow(task, occurredAt(source.items.get(id)?.at ?? 0))
  const select = (refs: ReadonlyArray<Ref>) => ContentExistenceChecker.selectNew(task, refs, { by: profile.by })

  const beginPass = (folder: string | null, from = source.log.length): Pass => {
    source.passes += 1
    const name = `pass ${source.passes}${folder === null ? "" : ` over ${folder}`}`
    source.served.set(name, [])
    source.beganIn.set(name, slice.began)
    const pass = { name, from, after: "", folder }
    if (isLive(task)) slice.pass = pass
    return pass
  }
  const whole: Round = { left: scope.slice(1), isWhole: true, leftOut: 0 }
  const firstPass = () => (profile.mode === "parts" ? beginPass(scope[0] ?? "a") : beginPass(null))
  const begin = (): Checkpoint => {
    // No event reports earlier deletions.
    if (profile.coverage === "none") for (const id of source.absent()) source.untold.add(id)
    return {
      format: source.format,
      folders: scope,
      position: source.log.length,
      pass: firstPass(),
      done: [],
      underWay: true,
      round: whole
    }
  }
  const told = scope.filter((folder) => hinted.parts.includes(folder))
  /**
   * Returns the next round: hinted parts first, then the other parts too, unless hints alone brought this poll forward
   * or a stream is listening. Because a stream may lose hints, each third poll lists all parts.
   */
  const nextRound = (at: Checkpoint): Checkpoint => {
    const { leftOut } = at.round
    const isWhole = !hinted.only && (!hinted.isListening || leftOut >= 2)
    const [first, ...left] = isWhole ? [...told, ...scope.filter((folder) => !told.includes(folder))] : told
    const round = { left, isWhole, leftOut: isWhole ? 0 : hinted.only ? leftOut : leftOut + 1 }
    if (!isWhole) edge.faults.wasMet("a hint")
    if (first === undefined) return { ...at, done: [], underWay: false, round }
    return { ...at, pass: beginPass(first), done: [], underWay: true, round }
  }
  const resume = (at: Checkpoint): Checkpoint => {
    if (profile.mode === "feed") return at
    if (profile.mode === "passes") {
      return at.pass === null ? { ...at, pass: firstPass(), done: [], underWay: true } : at
    }
    if (at.pass === null) return nextRound(at)
    // Parts that were hinted during a round are listed at its end.
    const { left } = at.round
    return { ...at, round: { ...at.round, left: [...left, ...told.filter((folder) => !left.includes(folder))] } }
  }
  const start = Option.match(given, { onNone: begin, onSome: resume })

  /** Returns the present labels of listed items: a patch applies them to content that is already stored. */
  const labelsOf = (refs: ReadonlyArray<Ref>) =>
    refs.flatMap(({ externalId }) => {
      const labels = source.items.get(externalId)?.labels
      return !profile.labels || labels === undefined ? [] : [{ externalId, metadata: { labels } }]
    })

  const changes = (at: Checkpoint) =>
    Effect.gen(function* () {
      const found = yield* ask("changes", "", () => {
        if (at.position < source.forgotten) {
          return Effect.fail(errorOf("CheckpointExpired", `position ${at.position} is forgotten`))
        }
        return Effect.succeed(source.log.slice(at.position, at.position + profile.pageSize))
      })
      const last = new Map(found.map((change) => [change.id, change.kind === "patch" ? "put" : change.kind]))
      const there = (id: string) => source.items.get(id)?.current !== undefined
      const deleted = [...last].flatMap(([id, kind]) =>
        kind === "delete" && (profile.tellsAll || !there(id)) ? [id] : []
      )
      const put = found.filter((change) => change.kind === "put" && last.get(change.id) === "put")
      const ids = put.map((change) => change.id).filter((id) => there(id) && inTask(id))
      const listed = (profile.repeats ? ids : [...new Set(ids)]).map(refOf)
      const patches = [
        ...found.flatMap((change) =>
          change.kind === "patch" ? [{ externalId: change.id, metadata: { labels: change.labels } }] : []
        ),
        ...labelsOf(listed)
      ]
      const page: Page<Checkpoint> = {
        listed,
        download: yield* select(listed),
        deleted,
        patches,
        checkpoint: { ...at, format: source.format, position: at.position + found.length }
      }
      edge.say(() => `  changes to ${page.checkpoint.position}: ${ids.join(" ")}, deleted ${deleted.join(" ")}`)
      return page
    })

  /** Returns the next page of a pass. A pass that the source forgot begins again. */
  const passPage = (at: Checkpoint, given: Pass) =>
    Effect.gen(function* () {
      let pass = given
      const found = yield* ask("list", "", () => {
        if (source.forgottenPasses.has(pass.name) && pass.after !== "") {
          edge.faults.wasMet("a pass is forgotten")
          if (profile.forgottenPass === "expires") {
            return Effect.fail(errorOf("CheckpointExpired", `${pass.name} is forgotten`))
          }
          // The log still reports the changes since the pass began: the next pass starts from there, as the first one
          // does.
          pass = beginPass(pass.folder, pass.from)
        }
        const isClosed = pass.folder !== null && source.closed.has(pass.folder)
        const wanted = (id: string) => inTask(id) && (pass.folder === null || id.startsWith(pass.folder))
        const keyed = source
          .present()
          .filter((id) => wanted(id) && !source.closed.has(id.slice(0, 1)))
          .map((id) => ({ id, key: source.keyOf(id) }))
          .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        const left = keyed.filter(({ key }) => key > pass.after)
        const page = left.slice(0, profile.pageSize)
        const isLast = left.length <= profile.pageSize || isClosed
        const after = isLast ? end : (page.at(-1)?.key ?? end)
        source.served.get(pass.name)?.push({ tick: source.ticks.next(), upTo: after })
        const before = profile.repeats ? keyed.findLast(({ key }) => key <= pass.after) : undefined
        const again = profile.repeats ? page[0] : undefined
        const listed = [before, ...page, again].flatMap((one) => (one === undefined ? [] : [one.id]))
        const hidden = new Set([...(source.hidden.get(pass.name) ?? []), ...source.closed])
        source.hidden.set(pass.name, hidden)
        const deleted =
          profile.coverage === "none"
            ? source.deletedSince(at.position)
            : profile.tellsInPass
              ? source.deletedSince(pass.from)
              : []
        const refs = listed.map(refOf)
        return Effect.succeed({ after, isLast, closed: [...hidden], refs, deleted, position: source.log.length })
      })
      const { after, closed, deleted, isLast, position, refs } = found
      const unlisted = closed.filter((folder) => (pass.folder ?? folder) === folder && scope.includes(folder))
      const covers: Array<Coverage> = []
      if (isLast && !isWindowed && profile.coverage !== "none") {
        if (pass.folder !== null) {
          if (unlisted.length === 0) covers.push({ prefix: pass.folder })
        } else if (profile.coverage === "all") covers.push({ prefix: "", except: unlisted })
        else covers.push(...scope.filter((each) => !unlisted.includes(each)).map((prefix) => ({ prefix })))
      }
      const problems = isLast ? unlisted.map((place) => ({ place, message: `${place} can't be listed` })) : []
      problemsOfPage = problems.length
      const listedTo: Pass = { ...pass, after }
      const [nextFolder, ...left] = pass.folder === null ? [] : at.round.left
      const next = isLast && nextFolder !== undefined ? beginPass(nextFolder) : null
      const page: Page<Checkpoint> = {
        listed: refs,
        download: yield* select(refs),
        deleted,
        listing: pass.name,
        covers,
        complete: isLast && next === null && unlisted.length === 0 && !isWindowed && at.round.isWhole,
        problems,
        patches: labelsOf(refs),
        checkpoint: {
          ...at,
          format: source.format,
          ...(profile.coverage === "none" ? { position } : {}),
          pass: isLast ? next : listedTo,
          done: isLast ? [...at.done, listedTo] : at.done,
          underWay: !isLast || next !== null,
          round: isLast ? { ...at.round, left } : at.round
        }
      }
      edge.say(() => `  ${pass.name}: ${refs.map((ref) => ref.externalId).join(" ")}${isLast ? ", the last" : ""}`)
      return page
    })

  // A page is committed once another is requested. A page that is listed beyond the end of a slice is listed again by
  // the next slice.
  let problemsOfPage = 0
  const pageTaken = Effect.sync(() => {
    caller.told.problems += problemsOfPage
    problemsOfPage = 0
  })

  const step = (at: Checkpoint & { readonly caughtUp?: boolean }) =>
    Effect.gen(function* () {
      yield* pageTaken
      if (source.hangs) {
        source.hangs = false
        edge.faults.wasMet("a listing hangs")
        return yield* Effect.never
      }
      if (profile.mode === "feed" && at.caughtUp !== true && Option.isSome(given)) {
        const page = yield* changes(at)
        const { checkpoint } = page
        const more = checkpoint.position < source.log.length
        const isIdle = checkpoint.position === at.position
        const next = more || at.pass !== null ? Option.some({ ...checkpoint, caughtUp: !more }) : Option.none()
        return [isIdle ? [] : [page], next] as const
      }
      if (at.pass === null) {
        // A round without parts only increments the counter.
        const isCounted = profile.mode === "parts" && !hinted.only
        return [isCounted ? [{ listed: [], download: [], checkpoint: at }] : [], Option.none()] as const
      }
      const page = yield* passPage(at, at.pass)
      const { checkpoint } = page
      const next = checkpoint.pass === null ? Option.none() : Option.some({ ...checkpoint, caughtUp: true })
      return [[page], next] as const
    })
  return Stream.onEnd(Stream.paginate(start as Checkpoint & { readonly caughtUp?: boolean }, step), pageTaken)
}
