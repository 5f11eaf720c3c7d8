/** The handlers of connections, and of decisions of a person. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Engine, type Connected as EngineConnected } from "../../engine/Engine.ts"
import { Integrations } from "../../engine/source/Integrations.ts"
import * as Members from "../../engine/source/Members.ts"
import * as MessageText from "../../engine/MessageText.ts"
import { type Connection, pausedByPerson } from "../../engine/model/Connection.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import { DeletionStore } from "../../engine/store/DeletionStore.ts"
import { LedgerStore } from "../../engine/store/LedgerStore.ts"
import { LockStore } from "../../engine/store/LockStore.ts"
import { OverviewStore } from "../../engine/store/OverviewStore.ts"
import { RunStore } from "../../engine/store/RunStore.ts"
import { DeletionsChanged, NameTaken } from "../../engine/store/StoreError.ts"
import { TaskStore } from "../../engine/store/TaskStore.ts"
import { CommandApi } from "../CommandApi.ts"
import * as InterimResponses from "../InterimResponses.ts"
import { asProblem, ConflictProblem } from "../Problems.ts"
import * as TaskSubmission from "../tasks/TaskSubmission.ts"
import * as Documents from "./ConnectionDocuments.ts"
import type { Connected } from "./ConnectionEndpoints.ts"
import * as ConnectionLookup from "./ConnectionLookup.ts"

const millis = (duration: Duration.Duration | undefined): number | null =>
  duration === undefined ? null : Math.round(Duration.toMillis(duration))

/** The document of a connection that the engine created or changed. */
export const connected = Effect.fnUntraced(function* ({
  connection,
  created,
  estimate,
  firstSync,
  firstSyncByBytes,
  leftOut
}: EngineConnected) {
  return {
    // This connection is not a member: a member is changed only through the connection that created it.
    connection: Documents.connection(connection, yield* DateTime.now, undefined),
    created,
    items: estimate.items ?? null,
    unitsPerItem: estimate.unitsPerItem,
    leftOut,
    firstSyncMs: millis(firstSync),
    firstSyncByBytesMs: millis(firstSyncByBytes)
  } satisfies Connected
})

/** The held deletions are no longer those that the person has seen. */
const changed =
  (name: string) =>
  <E>(error: E | DeletionsChanged) => {
    if (!(error instanceof DeletionsChanged)) return error
    const why =
      error.externalId === null
        ? "the deletions that are held have changed since they were listed"
        : `no deletion of ${MessageText.quoted(error.externalId)} is held`
    return new ConflictProblem({
      detail: `${why}: nothing of ${MessageText.quoted(name)} was deleted; list them again`
    })
  }

export const layer = HttpApiBuilder.group(
  CommandApi,
  "connections",
  Effect.fn(function* (handlers) {
    const connections = yield* ConnectionStore
    const runs = yield* RunStore
    const overviews = yield* OverviewStore
    const locks = yield* LockStore
    const tasks = yield* TaskStore
    const deletions = yield* DeletionStore
    const ledger = yield* LedgerStore
    const contents = yield* ContentStore
    const engine = yield* Engine
    const integrations = yield* Integrations
    const submission = yield* TaskSubmission.make
    const find = (ref: string) => ConnectionLookup.find(connections, ref)
    const ownerOf = ({ member }: Connection) =>
      member === null ? Effect.undefined : Effect.map(connections.connection(member.of), Option.getOrUndefined)
    const shown = Effect.fnUntraced(function* (ref: string) {
      const connection = yield* find(ref)
      return Documents.connection(connection, yield* DateTime.now, yield* ownerOf(connection))
    })

    return handlers.handleAll({
      list: Effect.fnUntraced(function* () {
        const now = yield* DateTime.now
        const all = yield* connections.connections
        const byId = new Map(all.map((each) => [each.id, each]))
        const ownerOf = ({ member }: Connection) => (member === null ? undefined : byId.get(member.of))
        return { connections: all.map((each) => Documents.connection(each, now, ownerOf(each))) }
      }, asProblem),

      create: Effect.fnUntraced(function* ({ payload }) {
        const { config = {}, credentials, domain, every, name } = payload
        if (Option.isSome(yield* connections.connectionByName(name))) return yield* new NameTaken({ name })
        const given = credentials === undefined ? {} : Redacted.value(credentials)
        return yield* connected(yield* engine.connect({ domain, name, config, credentials: given, every }))
      }, asProblem),

      get: Effect.fnUntraced(function* ({ params }) {
        const connection = yield* find(params.connection)
        const [lastRun] = yield* runs.runs(connection.id, 1)
        const integration = yield* Effect.option(integrations.get(connection.domain))
        // A connection is shown even if its config no longer fits.
        const config = yield* Effect.fromOption(integration).pipe(
          Effect.flatMap(({ decodeConfig }) => decodeConfig(connection.config)),
          Effect.orElseSucceed(() => undefined)
        )
        const isForced = lastRun?.status === "running" && lastRun.kind === "force" && lastRun.taskId !== null
        const [task] = isForced ? yield* tasks.taskSummaries(connection.id, { taskId: lastRun.taskId, limit: 1 }) : []
        const hasMembers = Option.exists(integration, ({ members }) => members !== undefined)
        return Documents.status(connection, yield* DateTime.now, {
          owner: yield* ownerOf(connection),
          members: hasMembers ? yield* Members.count(connections, connection.id) : null,
          totals: yield* overviews.totals(connection.id),
          leftOut: config?.leftOut ?? [],
          unitsPerMinute: config?.quota.unitsPerMinute,
          lastRun,
          forced: task?.task.task.window === undefined ? task : undefined,
          unfinished: yield* tasks.openTasks(connection.id)
        })
      }, asProblem),

      change: Effect.fnUntraced(function* ({ params, payload }) {
        const { domain, name } = yield* find(params.connection)
        const { config, credentials, every, signedIn } = payload
        const given = credentials === undefined ? undefined : Redacted.value(credentials)
        return yield* connected(yield* engine.connect({ domain, name, config, credentials: given, signedIn, every }))
      }, asProblem),

      remove: Effect.fnUntraced(
        function* ({ params, query }) {
          const connection = yield* find(params.connection)
          const owner = yield* ownerOf(connection)
          // Otherwise, the owner's next poll would create it again.
          if (owner !== undefined && owner.credentials !== null && !Members.isRetired(connection)) {
            const [name, by] = [connection.name, owner.name].map(MessageText.quoted)
            return yield* new ConflictProblem({
              detail: `${name} belongs to ${by}: leave its account out in the config of ${by}, and disconnect it once it is retired`
            })
          }
          return {
            contents: yield* Members.disconnect(
              { connections, overviews, locks },
              connection,
              query.deleteContents ?? false
            )
          }
        },
        (work, { request }) => InterimResponses.during(request)(work),
        asProblem
      ),

      pause: Effect.fnUntraced(function* ({ params }) {
        const { id, paused } = yield* find(params.connection)
        // A connection that is already paused keeps its reason.
        if (paused === null) yield* connections.setPaused(id, pausedByPerson)
        return yield* shown(id)
      }, asProblem),

      resume: Effect.fnUntraced(function* ({ params }) {
        const { credentials, id, name } = yield* find(params.connection)
        if (credentials === null) {
          return yield* new ConflictProblem({
            detail: `${MessageText.quoted(name)} is disconnected, and has no credentials: give it new ones`
          })
        }
        yield* connections.setPaused(id, null)
        yield* Members.resume(connections, id)
        return yield* shown(id)
      }, asProblem),

      deletions: Effect.fnUntraced(function* ({ params, query }) {
        const { id } = yield* find(params.connection)
        return yield* deletions.deletions(id, { ...query, which: "held" })
      }, asProblem),

      approveDeletions: Effect.fnUntraced(
        function* ({ params, payload }) {
          const { id, name } = yield* find(params.connection)
          return { deleted: yield* Effect.mapError(deletions.approveDeletions(id, payload), changed(name)) }
        },
        (work, { request }) => InterimResponses.during(request)(work),
        asProblem
      ),

      ledger: Effect.fnUntraced(function* ({ params, query }) {
        const { id } = yield* find(params.connection)
        return { ledger: (yield* ledger.ledger(id, query)).map(Documents.ledgerRow) }
      }, asProblem),

      redrive: Effect.fnUntraced(function* ({ params, payload }) {
        const connection = yield* find(params.connection)
        return yield* submission.submit(connection, { _tag: "retry", externalIds: payload?.externalIds ?? [] })
      }, asProblem),

      purge: Effect.fnUntraced(
        function* ({ params, payload }) {
          const { id } = yield* find(params.connection)
          return yield* contents.purge(id, payload.before)
        },
        (work, { request }) => InterimResponses.during(request)(work),
        asProblem
      )
    })
  })
)
