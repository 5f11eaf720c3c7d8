/**
 * What a slice has to do, in its order: the ids that were asked for; what is new at the source; the ledger's retries;
 * then the backfill, unless retries are left over. It is pulled, so that nothing is listed before there is room for it.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Schema from "effect/Schema"
import { externalIdProblem, type Ref } from "../../contract/Content.ts"
import { ContentExistenceChecker, type ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import { IntegrationError, Malformed, type Reason } from "../../contract/IntegrationError.ts"
import type { AnySession } from "../../contract/Integration.ts"
import type { Page } from "../../contract/Page.ts"
import { maxPartBytes, type PartMove } from "../../contract/Parts.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import * as Deletions from "./Deletions.ts"
import type { PartReader } from "./PartReader.ts"
import { begin, type Inflight } from "./InFlight.ts"
import type { Limits } from "../Limits.ts"
import type { Meter } from "./RunMeter.ts"
import type { Download, Origin, SliceEvent } from "./SliceEvent.ts"
import type { Spanning } from "../telemetry/Spans.ts"
import { type LedgerRow, refOf } from "../model/Content.ts"
import { type Fence, type Store, type StoreError, type Superseded } from "../Store.ts"

/** A ref to download, or what needs no download. */
export type Work = Download | SliceEvent

type WorkError = IntegrationError | ContentExistenceCheckerError | StoreError | Superseded

/** Reasons for which the whole source is left alone. Any other reason of a listing says nothing about single items. */
const refusals: ReadonlySet<Reason["_tag"]> = new Set(["Unauthorized", "RateLimited", "Transient"])

/** Takes note that the source could not be opened or listed. What is under way is finished and kept. */
export const refused = (state: State, error: IntegrationError, meter: Meter): void => {
  state.more = true
  if (error.reason._tag === "RateLimited" && meter.exhausted !== undefined) state.halt ??= { _tag: "Over" }
  else if (refusals.has(error.reason._tag)) state.halt ??= { _tag: "Yield", error }
  else state.failure ??= error
}

/** What a slice looks for, beside its task. */
export interface Plan {
  readonly task: SyncTask.SyncTask
  /** Where the listing goes on; none lists in full. */
  readonly checkpoint: Option.Option<Schema.Json>
  /** The digest of the scope fields now. */
  readonly scope: string
  /** Ids that an earlier slice of this task did. */
  readonly done: ReadonlySet<string>
  /**
   * Which rows of the ledger are retried. `due`: failed rows whose time has come. `all`: failed rows now (a person
   * asked). `none`: a task of its own leaves them to the live one. Or just these rows, and no listing.
   */
  readonly ledger: "due" | "all" | "none" | { readonly rows: ReadonlyArray<LedgerRow> }
}

/** What the work says about itself as it goes. */
export interface State {
  /** Why nothing more is begun: the slice is over, or the source refused. */
  halt:
    /** Its time is up, or its account's quota is until then: nothing of what it did not reach is counted or kept. */
    | { readonly _tag: "Over" }
    | { readonly _tag: "Yield"; readonly error: IntegrationError }
    | { readonly _tag: "Abort"; readonly message: string }
    | undefined
  /** Why the listing ended early, where the source can still be asked for single items. */
  failure: IntegrationError | undefined
  /** True if there is more to do than this slice did. */
  more: boolean
  readonly reading: Deletions.Reading
  readonly notes: Array<string>
}

export const initial = (notes: ReadonlyArray<string>): State => ({
  halt: undefined,
  failure: undefined,
  more: false,
  reading: Deletions.reading(),
  notes: [...notes]
})

/** Why this move of a part can't be stored: a fault in the integration. */
const partProblem = ({ checkpoint, key }: PartMove<Schema.Json>): string | undefined => {
  const problem = externalIdProblem(key)
  const bytes = Buffer.byteLength(JSON.stringify(checkpoint))
  return problem !== undefined
    ? `the key of a part: ${problem.replace("an external id", "it")}`
    : bytes > maxPartBytes
      ? `the checkpoint of part ${JSON.stringify(key)} has ${bytes} bytes, more than ${maxPartBytes}`
      : undefined
}

/** True for a failed item whose next attempt is yet to come. */
const isLater = ({ nextAttemptAt, state }: LedgerRow, now: number): boolean =>
  state === "failed" && nextAttemptAt !== null && DateTime.toEpochMillis(nextAttemptAt) > now

const pageSaid = (page: Option.Option<Page<Schema.Json>>) =>
  Option.isNone(page)
    ? { "idem.end": true }
    : {
        "idem.listed": page.value.listed.length,
        "idem.new": page.value.download.length,
        "idem.deleted": page.value.deleted?.length ?? 0
      }

export const make = Effect.fnUntraced(function* (options: {
  readonly session: AnySession
  readonly store: Store["Service"]
  readonly fence: Fence
  readonly plan: Plan
  readonly state: State
  readonly inflight: Inflight
  readonly checker: ContentExistenceChecker["Service"]
  readonly parts: PartReader
  readonly limits: Limits
  readonly meter: Meter
  readonly span: Spanning
}): Effect.fn.Return<Stream.Stream<Work, WorkError>, never, Scope.Scope> {
  const { fence, inflight, limits, plan, session, state, store } = options
  const { task } = plan
  const partReader = options.parts
  // A connection has one open listing, the live one: another task's would take its marks away.
  const isLive = SyncTask.isLive(task)
  const scope = yield* Effect.scope
  const endsAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(limits.sliceTime)
  const forced = new Set(task.forceIds)
  let pages = 0
  let restarted = false
  // Ids that pages of this slice deleted and no later page listed.
  const deletedIds = new Set<string>()
  // The first page of a listing without a checkpoint also forgets the parts that other listings left.
  let forgetsParts = partReader.isFresh()

  const open = (checkpoint: Option.Option<Schema.Json>) =>
    session.list(task, checkpoint, partReader.parts).pipe(
      Stream.rechunk(1),
      Stream.provideService(ContentExistenceChecker, options.checker),
      Stream.toChannel,
      // Unlike `Stream.toPull` it pulls in the context of whoever pulls: within the span of the page.
      (channel) => Channel.toPullScoped(channel, scope)
    )
  let pull = yield* open(plan.checkpoint)

  /**
   * False if the listing ended with the last page of the slice. Otherwise the page that this pulls is listed again by the
   * next slice. Without this look, a source that lists in full at every poll, in exactly as many pages as a slice has,
   * would always seem to have more, and would be polled without a pause.
   */
  const isMoreListed: Effect.Effect<boolean, WorkError> = Effect.suspend(() => pull).pipe(
    Effect.as(true),
    Pull.catchDone(() =>
      Effect.sync(() => {
        Deletions.ended(state.reading)
        return false
      })
    ),
    Effect.catchIf(
      (error) => error._tag === "IntegrationError",
      () => Effect.succeed(true)
    )
  )

  /** The next page; none at the listing's end or once the slice is over. */
  const nextPage: Effect.Effect<Option.Option<Page<Schema.Json>>, WorkError> = Effect.gen(function* () {
    if (state.halt === undefined && (pages >= limits.slicePages || (yield* Clock.currentTimeMillis) >= endsAt)) {
      if (!(yield* isMoreListed)) return Option.none()
      state.halt ??= { _tag: "Over" }
    }
    if (state.halt !== undefined) {
      state.more = true
      return Option.none()
    }
    pages += 1
    const listed = pull.pipe(
      Effect.map((chunk) => Option.some(chunk[0])),
      Pull.catchDone(() =>
        Effect.as(
          Effect.sync(() => Deletions.ended(state.reading)),
          Option.none()
        )
      )
    )
    return yield* options.span("page", { "idem.page": pages }, listed, pageSaid).pipe(
      Effect.catchIf(
        (error) => error._tag === "IntegrationError",
        (error) => unlisted(error)
      )
    )
  })

  const unlisted = Effect.fnUntraced(function* (error: IntegrationError) {
    if (error.reason._tag === "CheckpointExpired" && state.reading.pages > 0) {
      // The next slice lists in full. What this slice stored from the changes would never be absent from a listing that
      // began under the same lease, and the source has forgotten whether it was deleted meanwhile.
      state.reading.isAbandoned = true
      state.more = true
      return Option.none<Page<Schema.Json>>()
    }
    if (error.reason._tag === "CheckpointExpired" && !restarted) {
      restarted = true
      state.reading.isAbandoned = true
      // The expired checkpoint gave no page.
      pages -= 1
      state.notes.push(`${error.message}: listing in full`)
      partReader.reset()
      forgetsParts = true
      pull = yield* open(Option.none())
      return yield* nextPage
    }
    refused(state, error, options.meter)
    return Option.none<Page<Schema.Json>>()
  })

  /**
   * The chosen ids that the ledger holds until later: failed ones before their next attempt, and dead ones, under the
   * revision that failed. An integration that downloads what it knows already would ask for them at every poll.
   */
  const heldIds = Effect.fnUntraced(function* (page: Page<Schema.Json>) {
    const asked = page.download.filter((ref) => ref.content === undefined && !inflight.has(ref.externalId))
    if (task.force || asked.length === 0) return new Set<string>()
    const externalIds = asked.map(({ externalId }) => externalId)
    const revisions = new Map(asked.map(({ externalId, revision }) => [externalId, revision]))
    const now = yield* Clock.currentTimeMillis
    const rows = yield* store.ledger(fence.connectionId, { externalIds, limit: externalIds.length })
    const waits = (row: LedgerRow) =>
      row.revision === revisions.get(row.externalId) && (row.state === "dead" || isLater(row, now))
    return new Set(rows.filter(waits).map(({ externalId }) => externalId))
  })

  const fromPage = Effect.fnUntraced(function* (page: Page<Schema.Json>) {
    const heldBack = yield* heldIds(page)
    const number = Deletions.pageRead(state.reading, page)
    const pass = isLive ? page.listing : undefined
    const chosen = new Map(page.download.map((ref) => [ref.externalId, ref]))
    const work: Array<Work> = []
    const unusable: Array<{ readonly place: string; readonly message: string }> = []
    const seen: Array<string> = []
    let existing = 0
    // A chosen ref that the page forgot to list is listed all the same: every id ends somewhere.
    const listed = new Set(page.listed.map((ref) => ref.externalId))
    for (const { externalId } of [...page.listed, ...page.download.filter((ref) => !listed.has(ref.externalId))]) {
      const problem = externalIdProblem(externalId)
      if (problem !== undefined) {
        unusable.push({ place: JSON.stringify(externalId.slice(0, 100)), message: problem })
        continue
      }
      seen.push(externalId)
      deletedIds.delete(externalId)
      const ref = chosen.get(externalId)
      const flying = inflight.get(externalId)
      const repeated = flying !== undefined && flying.revision === ref?.revision
      const isDone = plan.done.has(externalId) || forced.has(externalId)
      if (ref === undefined || repeated || isDone || (heldBack.has(externalId) && ref.content === undefined)) {
        existing += 1
        continue
      }
      chosen.delete(externalId)
      work.push({
        _tag: "Download",
        origin: "listed",
        ref,
        flight: begin(inflight, externalId, ref.revision),
        page: number
      })
    }
    const wrong = page.parts?.map(partProblem).find((problem) => problem !== undefined)
    if (wrong !== undefined) return yield* new IntegrationError({ reason: new Malformed({ message: wrong }) })
    const { deleted = [], parts: moves = [], patches = [], problems = [] } = page
    partReader.move(moves)
    const forgetting = forgetsParts
    forgetsParts = false
    const covers = pass === undefined ? [] : (page.covers ?? [])
    for (const id of deleted) deletedIds.add(id)
    return [
      {
        _tag: "PageListed",
        page: number,
        existing,
        unusable,
        problems,
        remaining: page.remaining,
        downloads: work.length,
        waitsFor: [...deleted, ...patches.map((patch) => patch.externalId)].flatMap((id) => inflight.get(id) ?? []),
        end: {
          checkpoint: page.checkpoint,
          scope: plan.scope,
          parts: moves,
          forgetsParts: forgetting,
          deleted: deleted.filter((id) => externalIdProblem(id) === undefined),
          patches: patches.filter((patch) => externalIdProblem(patch.externalId) === undefined),
          seen,
          listing: pass,
          covers,
          complete: isLive && Deletions.isComplete(page)
        }
      },
      ...work
    ] satisfies Array<Work>
  })

  /** A ref that no page listed. */
  const fetchOf = (origin: Origin, ref: Ref): Work => ({
    _tag: "Download",
    origin,
    ref,
    flight: begin(inflight, ref.externalId, ref.revision),
    page: undefined
  })

  const rowsToRetry: Effect.Effect<ReadonlyArray<LedgerRow>, StoreError> = Effect.suspend(() => {
    if (plan.ledger === "none") return Effect.succeed([])
    if (plan.ledger === "due") return store.retriesDue(fence.connectionId, limits.retries)
    if (plan.ledger !== "all") return Effect.succeed(plan.ledger.rows)
    return Effect.map(store.ledger(fence.connectionId, { limit: limits.retries }), (rows) =>
      rows.filter((row) => row.state !== "dead")
    )
  })

  const retries = Effect.gen(function* () {
    const rows = yield* rowsToRetry
    // The changes before may have chosen the same id, or deleted it in a page that is not committed yet.
    const free = rows.filter((row) => !inflight.has(row.externalId) && !deletedIds.has(row.externalId))
    const backlog = plan.ledger === "due" && rows.length >= limits.retries
    return [backlog, free.map((row) => fetchOf("retried", refOf(row)))] as const
  })

  let phase: "forced" | "changes" | "retries" | "backfill" | "end" =
    typeof plan.ledger === "object" ? "retries" : "forced"
  let waiting: Page<Schema.Json> | undefined

  const next: Effect.Effect<ReadonlyArray<Work>, WorkError | Cause.Done> = Effect.gen(function* () {
    switch (phase) {
      case "forced": {
        phase = SyncTask.idsOnly(task) ? "end" : "changes"
        const ids = task.forceIds.filter((id) => !plan.done.has(id) && !inflight.has(id))
        const unique = [...new Set(ids)]
        return unique.map((externalId) => fetchOf("forced", { externalId }))
      }
      case "changes": {
        const page = yield* nextPage
        if (Option.isSome(page) && page.value.listing === undefined) return yield* fromPage(page.value)
        phase = "retries"
        waiting = Option.getOrUndefined(page)
        return []
      }
      case "retries": {
        if (state.halt !== undefined) {
          phase = "end"
          return []
        }
        const [backlog, work] = yield* retries
        phase = waiting === undefined || backlog ? "end" : "backfill"
        if (backlog) state.more = true
        return work
      }
      case "backfill": {
        const page = waiting ?? Option.getOrUndefined(yield* nextPage)
        waiting = undefined
        if (page !== undefined) return yield* fromPage(page)
        phase = "end"
        return []
      }
      case "end":
        return yield* Cause.done()
    }
  })

  const nonEmpty: Pull.Pull<readonly [Work, ...Array<Work>], WorkError> = Effect.gen(function* () {
    while (true) {
      const [first, ...rest] = yield* next
      if (first !== undefined) return [first, ...rest] as const
    }
  })
  return Stream.fromPull(Effect.succeed(nonEmpty))
})
