/**
 * The port to the database, by noun: each part is a file in `store/`. Every implementation passes the same laws
 * (test/stores/laws.ts).
 *
 * Two rules hold for every method that writes for a run:
 *
 * - the fence: the transaction first checks that the connection's row still has the lease's fence. If not, it fails
 *   with `Superseded` and writes nothing;
 * - the key: content is upserted by (connection, external id). The checker only saves work: it guards nothing.
 *
 * Time is the database's: leases, due times and `createdAt` are set and compared by its clock, and a given `Duration`
 * is added to it.
 */
import * as Context from "effect/Context"
import type { BodyStore } from "./store/BodyStore.ts"
import type { ConnectionStore } from "./store/ConnectionStore.ts"
import type { ContentStore } from "./store/ContentStore.ts"
import type { DeletionStore } from "./store/DeletionStore.ts"
import type { FeedStore } from "./store/FeedStore.ts"
import type { LeaseStore } from "./store/LeaseStore.ts"
import type { LedgerStore } from "./store/LedgerStore.ts"
import type { LockStore } from "./store/LockStore.ts"
import type { OverviewStore } from "./store/OverviewStore.ts"
import type { RunStore } from "./store/RunStore.ts"
import type { SecretStore } from "./store/SecretStore.ts"
import type { SessionStore } from "./store/SessionStore.ts"
import type { TaskStore } from "./store/TaskStore.ts"

export { type Fence, Superseded } from "./store/Fence.ts"
export { DeletionsChanged, NameTaken, StoreError } from "./store/StoreError.ts"

/** All parts in one service, for what uses most of them. */
export class Store extends Context.Service<
  Store,
  ConnectionStore["Service"] &
    LeaseStore["Service"] &
    RunStore["Service"] &
    TaskStore["Service"] &
    ContentStore["Service"] &
    LedgerStore["Service"] &
    DeletionStore["Service"] &
    BodyStore["Service"] &
    FeedStore["Service"] &
    SecretStore["Service"] &
    SessionStore["Service"] &
    LockStore["Service"] &
    OverviewStore["Service"]
>()("idem/engine/Store") {}
