/** All ports of a store in one object, for tests that read through many of them or replace methods. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Store } from "../engine/Store.ts"
import { BodyStore } from "../engine/store/BodyStore.ts"
import { ConnectionStore } from "../engine/store/ConnectionStore.ts"
import { ContentStore } from "../engine/store/ContentStore.ts"
import { DeletionStore } from "../engine/store/DeletionStore.ts"
import { FeedStore } from "../engine/store/FeedStore.ts"
import { LeaseStore } from "../engine/store/LeaseStore.ts"
import { LedgerStore } from "../engine/store/LedgerStore.ts"
import { LockStore } from "../engine/store/LockStore.ts"
import { OverviewStore } from "../engine/store/OverviewStore.ts"
import { RunStore } from "../engine/store/RunStore.ts"
import { SecretStore } from "../engine/store/SecretStore.ts"
import { SessionStore } from "../engine/store/SessionStore.ts"
import { TaskStore } from "../engine/store/TaskStore.ts"

export type WholeStore = BodyStore["Service"] &
  ConnectionStore["Service"] &
  ContentStore["Service"] &
  DeletionStore["Service"] &
  FeedStore["Service"] &
  LeaseStore["Service"] &
  LedgerStore["Service"] &
  LockStore["Service"] &
  OverviewStore["Service"] &
  RunStore["Service"] &
  SecretStore["Service"] &
  SessionStore["Service"] &
  TaskStore["Service"]

/** Returns the whole store of a context with all ports. */
export const fromContext = (context: Context.Context<Store>): WholeStore => ({
  ...Context.get(context, BodyStore),
  ...Context.get(context, ConnectionStore),
  ...Context.get(context, ContentStore),
  ...Context.get(context, DeletionStore),
  ...Context.get(context, FeedStore),
  ...Context.get(context, LeaseStore),
  ...Context.get(context, LedgerStore),
  ...Context.get(context, LockStore),
  ...Context.get(context, OverviewStore),
  ...Context.get(context, RunStore),
  ...Context.get(context, SecretStore),
  ...Context.get(context, SessionStore),
  ...Context.get(context, TaskStore)
})

/** The whole store of the running effect. */
export const WholeStore: Effect.Effect<WholeStore, never, Store> = Effect.map(Effect.context<Store>(), fromContext)

/** Provides every port from this store. */
export const layer = (store: WholeStore): Layer.Layer<Store> => Layer.succeedContext(toContext(store))

const toContext = (store: WholeStore): Context.Context<Store> =>
  Context.make(BodyStore, store).pipe(
    Context.add(ConnectionStore, store),
    Context.add(ContentStore, store),
    Context.add(DeletionStore, store),
    Context.add(FeedStore, store),
    Context.add(LeaseStore, store),
    Context.add(LedgerStore, store),
    Context.add(LockStore, store),
    Context.add(OverviewStore, store),
    Context.add(RunStore, store),
    Context.add(SecretStore, store),
    Context.add(SessionStore, store),
    Context.add(TaskStore, store)
  )

/** Provides the ports of a store, with some methods replaced. */
export const replaceMethods = (change: (real: WholeStore) => Partial<WholeStore>): Layer.Layer<Store, never, Store> =>
  Layer.effectContext(Effect.map(WholeStore, (real) => toContext({ ...real, ...change(real) })))
