/** The laws of the store's port: each store passes all of them. */
import type * as Layer from "effect/Layer"
import type { Store } from "../../src/engine/Store.ts"
import * as Changes from "./lawsOfChanges.ts"
import * as Content from "./lawsOfContent.ts"
import * as Deletions from "./lawsOfDeletions.ts"
import * as Ledger from "./lawsOfLedger.ts"
import * as Overview from "./lawsOfOverview.ts"
import * as Lists from "./lawsOfLists.ts"
import * as Locks from "./lawsOfLocks.ts"
import * as OpenTasks from "./lawsOfOpenTasks.ts"
import * as Parts from "./lawsOfParts.ts"
import * as Patches from "./lawsOfPatches.ts"
import * as Removal from "./lawsOfRemoval.ts"
import * as Runs from "./lawsOfRuns.ts"
import * as Sealed from "./lawsOfSealed.ts"
import * as Tasks from "./lawsOfTasks.ts"
import { Time } from "./scenario.ts"
import * as Bodies from "./lawsOfBodies.ts"
import * as Connections from "./lawsOfConnections.ts"

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  Connections.suite(name, layer)
  Bodies.suite(name, layer)
  Runs.suite(name, layer)
  OpenTasks.suite(name, layer)
  Tasks.suite(name, layer)
  Locks.suite(name, layer)
  Parts.suite(name, layer)
  Content.suite(name, layer)
  Patches.suite(name, layer)
  Changes.suite(name, layer)
  Lists.suite(name, layer)
  Ledger.suite(name, layer)
  Deletions.suite(name, layer)
  Overview.suite(name, layer)
  Removal.suite(name, layer)
  Sealed.suite(name, layer)
}
