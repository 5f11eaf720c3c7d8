/**
 * The invariants that hold after each step of the store. Rows of the store are compared with the history of the source;
 * the engine's own state is never used.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Batch, PageEnd } from "../../src/engine/model/Batch.ts"
import type { Change, ChangePlace } from "../../src/engine/model/Change.ts"
import type { Limits } from "../../src/engine/Limits.ts"
import { type ConnectionId, pausedByPerson } from "../../src/engine/model/Connection.ts"
import type { ContentRow } from "../../src/engine/model/Content.ts"
import type { Fence } from "../../src/engine/store/Fence.ts"
import type { WholeStore } from "../../src/testing/WholeStore.ts"
import type { Account } from "./Account.ts"
import type { Caller } from "./Caller.ts"
import type { Released } from "./FaultyStore.ts"
import { Checkpoint, type Pass } from "./SimulatedCheckpoint.ts"
import type { SimulatedSource } from "./SimulatedSource.ts"

const decodeCheckpoint = Schema.decodeUnknownSync(Checkpoint)
const decodeRead = Schema.decodeUnknownOption(Schema.Struct({ read: Schema.Int }))
const decodeToken = Schema.decodeUnknownSync(Schema.Struct({ token: Schema.String }))

/** Returns the tick at which the content of this row was read from the source. */
const readAt = (row: ContentRow): number =>
  Option.match(decodeRead(row.volatile), { onNone: () => 0, onSome: ({ read }) => read })

export class Oracle {
  readonly problems: Array<string> = []
  readonly accounts: ReadonlyArray<Account>
  readonly store: WholeStore
  readonly #limits: Pick<Limits, "deletions" | "deletionShare">
  readonly #say: (text: () => string) => void
  #place: ChangePlace | undefined
  /** The holders of the leases that no other process may take over. */
  readonly #holders = new Map<ConnectionId, Caller>()
  /** The number of contents that became stored, by connection. */
  readonly born = new Map<ConnectionId, number>()

  constructor(
    store: WholeStore,
    accounts: ReadonlyArray<Account>,
    limits: Pick<Limits, "deletions" | "deletionShare">,
    say: (text: () => string) => void
  ) {
    this.store = store
    this.#limits = limits
    this.accounts = accounts
    this.#say = say
  }

  problem(text: string): void {
    this.#say(() => `PROBLEM: ${text}`)
    if (!this.problems.includes(text)) this.problems.push(text)
  }

  readonly written = Effect.fnUntraced({ self: this }, function* (this: Oracle, method: string, caller: Caller) {
    if (caller.isDry) this.problem(`a dry run called ${method}`)
    // Each of these methods takes the lease away from the present run.
    if (["updateConnection", "saveCredentials", "disconnect"].includes(method)) this.#holders.clear()
    if (["commit", "applyDeletions", "approveDeletions", "purge", "disconnect"].includes(method)) {
      const page = yield* Effect.orDie(this.store.changes({ after: this.#place, limit: 10_000 }))
      this.#place = page.next
      for (const change of page.changes) this.#changed(change, method)
    }
    for (const account of this.accounts) yield* this.#paused(account)
  })

  readonly #paused = Effect.fnUntraced({ self: this }, function* (this: Oracle, account: Account) {
    if (account.id === undefined) return
    const row = Option.getOrUndefined(yield* Effect.orDie(this.store.connection(account.id)))
    if (row === undefined) return
    if (account.pausedSince !== undefined && row.paused !== pausedByPerson) {
      this.problem(`${account.name} was paused by a person, and now is ${row.paused ?? "not paused"}`)
      account.pausedSince = undefined
    }
    if (row.paused === null || row.paused === pausedByPerson || row.credentials === null) return
    // Credentials are stored before the pause is lifted.
    if (account.lifting > 0) return
    const { token } = decodeToken(JSON.parse(new TextDecoder().decode(row.credentials)))
    if (!account.source.refused.has(token)) {
      this.problem(`${account.name} is paused with ${token}, which the source never refused`)
    }
  })

  /**
   * Checks that no other process gets a lease before its run has ended, because a run renews its lease. An exception is
   * a holder that a fault has affected.
   */
  acquired(id: ConnectionId, caller: Caller, now: number): void {
    const holder = this.#holders.get(id)
    this.#holders.set(id, caller)
    if (holder === undefined || holder === caller || holder.isStruck || holder.process.dead) return
    if (holder.process.frozenUntil > now) return
    this.problem(`${caller.process.name} took the lease of a run that goes on in ${holder.process.name}`)
  }

  /** Notes that the holder released the lease, or that a fault took it away. */
  released(id: ConnectionId, caller?: Caller): void {
    if (caller === undefined || this.#holders.get(id) === caller) this.#holders.delete(id)
  }

  /** Checks that a connection is not run before its next poll if its run failed or was asked to wait. */
  readonly leftAlone = Effect.fnUntraced(
    { self: this },
    function* (this: Oracle, { connectionId, fence }: Fence, next: Released) {
      if (next.pollIn === undefined || ((next.failures ?? 0) === 0 && (next.askedWait ?? null) === null)) return
      const row = Option.getOrUndefined(yield* Effect.orDie(this.store.connection(connectionId)))
      if (row?.fence !== fence || Duration.isZero(next.pollIn)) return
      const due = yield* Effect.orDie(this.store.due(1000))
      if (due.some((one) => one.connectionId === connectionId && !one.requested)) {
        this.problem(`${row.name} is due at once, and its run failed or was asked to wait`)
      }
    }
  )

  #changed({ change, connectionId, content }: Change, method: string): void {
    const account = this.accounts.find(({ id }) => id === connectionId)
    if (account === undefined) return
    const { source } = account
    const id = content.externalId
    this.#say(() => `  ${account.name}: ${id} ${change}${content.title === null ? "" : ` (${content.title})`}`)
    if (change !== "deleted") {
      if (change !== "updated") this.born.set(connectionId, (this.born.get(connectionId) ?? 0) + 1)
      const version = source.items.get(id)?.versions.get(content.hash ?? "")
      if (version === undefined) this.problem(`${account.name}: ${id} has a body that the source never had`)
      else if (content.revision !== null && Number(content.revision) > version.version) {
        this.problem(`${account.name}: ${id} has version ${version.version} under revision ${content.revision}`)
      } else if (
        source.profile.by === "revision" &&
        source.profile.revisionWithBytes &&
        content.revision !== String(version.version)
      ) {
        this.problem(`${account.name}: ${id} came with the revision ${version.version}, and is under another`)
      }
      return
    }
    if (!source.absentWithin(id, readAt(content), source.ticks.now)) {
      this.problem(`${account.name}: ${id} was deleted by ${method}, and was at the source ever since it was read`)
    }
    if (method === "approveDeletions") {
      if (account.shown?.ids.has(id) !== true)
        this.problem(`${account.name}: ${id} was approved for deletion, and was not shown`)
      return
    }
    const { vanished } = account
    if (vanished?.has(id) !== true || source.toldGone.has(id)) return
    const left = [...vanished].filter((each) => source.items.get(each)?.current === undefined)
    // The number of stored contents when the reading began is at most the number of items that the source ever had.
    const { deletions, deletionShare } = this.#limits
    if (left.length > Math.max(deletions, source.items.size * deletionShare)) {
      this.problem(`${account.name}: ${id}, one of ${left.length} that vanished at once, was deleted without approval`)
      account.vanished = undefined
    }
  }

  /** Checks the status of a run against the source's responses. */
  finished(status: string, { told }: Caller): void {
    if (status !== "succeeded") return
    if (told.failedItems > 0) this.problem(`a run succeeded, and ${told.failedItems} items could not be read`)
    if (told.problems > 0) this.problem(`a run succeeded, and ${told.problems} places could not be listed`)
  }

  /**
   * Checks that a superseded run writes nothing, and that no checkpoint passes an item that is neither stored nor in
   * the ledger.
   */
  readonly committed = Effect.fnUntraced({ self: this }, function* (this: Oracle, fence: Fence, batch: Batch) {
    const row = Option.getOrUndefined(yield* Effect.orDie(this.store.connection(fence.connectionId)))
    if (row?.fence !== fence.fence) this.problem("a superseded run wrote")
    if (batch.page === undefined || batch.taskId !== undefined) return
    const account = this.accounts.find(({ id }) => id === fence.connectionId)
    if (account === undefined) return
    const checkpoint = decodeCheckpoint(batch.page.checkpoint)
    const { source } = account
    for (const id of batch.page.seen) source.byId.delete(id)
    this.#covered(source, batch.page)
    const due = source.present().filter((id) => this.#isPassed(source, checkpoint, id))
    const known = yield* Effect.orDie(this.store.revisions(fence.connectionId, due))
    for (const id of due) {
      const revision = known.get(id)
      const version = String(source.items.get(id)?.current?.version)
      if (revision === undefined) {
        this.problem(`${account.name}: the checkpoint passed ${id}, which is neither stored nor in the ledger`)
      } else if (source.profile.by === "revision" && Option.getOrElse(revision, () => version) !== version) {
        this.problem(`${account.name}: the checkpoint passed version ${version} of ${id}, which is not known`)
      }
    }
  })

  /** A pass that began in a later slice finds the deletion of an item that an earlier pass kept. */
  #covered({ beganIn, keptSince }: SimulatedSource, { covers, listing }: PageEnd): void {
    const began = beganIn.get(listing ?? "") ?? 0
    for (const { except = [], prefix } of covers) {
      for (const [id, slice] of keptSince) {
        const isCovered = id.startsWith(prefix) && !except.some((each) => id.startsWith(each))
        if (isCovered && slice < began) keptSince.delete(id)
      }
    }
  }

  /** Returns true if the listings that the checkpoint represents include this id in its present version. */
  #isPassed(source: SimulatedSource, { done, folders, pass, position }: Checkpoint, id: string): boolean {
    const item = source.items.get(id)
    const folder = id.slice(0, 1)
    if (item === undefined || !folders.includes(folder) || source.wasClosed.has(folder)) return false
    const key = source.keyOf(id)
    const isListed = (each: Pass) =>
      (each.folder ?? folder) === folder && key <= each.after && item.modified < source.servedAt(each.name, key)
    if (source.profile.mode !== "feed") return [...done, ...(pass === null ? [] : [pass])].some(isListed)
    if (item.position >= position) return false
    return pass === null || item.position >= pass.from || isListed(pass)
  }
}
