/**
 * The ports to the database: one service for each noun, in files of `store/`. A module requires the ports that it uses;
 * a store's layer provides all of them. Every store passes the same laws (test/stores/laws.ts).
 *
 * Two rules hold for every method that writes for a run:
 *
 * - the fence: the transaction first checks that the connection's row still has the lease's fence. If not, it fails
 *   with `Superseded` and writes nothing;
 * - the key: content is upserted by (connection, external id). The checker saves work and is never the guard against
 *   duplicates.
 *
 * All times use the database's clock: leases, due times and `createdAt` are set and compared by it, and a given
 * `Duration` is added to it.
 */
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

/**
 * All ports that a store's layer provides. `WebhookStore` is provided separately, because a command that syncs does not
 * need it.
 */
export type Store =
  | BodyStore
  | ConnectionStore
  | ContentStore
  | DeletionStore
  | FeedStore
  | LeaseStore
  | LedgerStore
  | LockStore
  | OverviewStore
  | RunStore
  | SecretStore
  | SessionStore
  | TaskStore
