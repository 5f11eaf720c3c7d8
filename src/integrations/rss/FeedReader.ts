/**
 * Reads feeds in worker processes, which have bounds on time and memory (see `WorkerPool.ts`). `FeedParser.ts` parses
 * them there. Parsing 14 MB takes seconds, and a malicious feed of a few kilobytes can take as long.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Path from "node:path"
import * as WorkerPool from "../../workers/WorkerPool.ts"
import type { Read } from "./FeedParser.ts"

export interface Question {
  readonly bytes: Uint8Array
  readonly mediaType: string
  readonly url: string
}

/** The entries, for `EntryPages.unpack`; or why the bytes are not a feed. */
export type Answer =
  | (Omit<Read, "entries"> & { readonly pages: ReadonlyArray<Uint8Array>; readonly count: number })
  | { readonly problem: string }

// The worker's file has the same extension as this file: .ts in the repository, .js in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

const defaults = { atOnce: 2, longest: Duration.minutes(1), megabytes: 512 }

/** Makes a reader whose workers end with the scope. */
export const make = (limits: Omit<WorkerPool.Options, "program">) =>
  Effect.map(WorkerPool.make<Question, Answer>({ program, ...limits }), ({ ask }) => ({
    read: (question: Question) => ask(Effect.succeed(question))
  }))

/** By default each feed is read by a new worker. The layer keeps workers for all feeds of a process. */
export const FeedReader = Context.Reference("idem/integrations/rss/FeedReader", {
  defaultValue: () => ({
    read: (question: Question) => Effect.scoped(Effect.flatMap(make(defaults), ({ read }) => read(question)))
  })
})

/** Starts no worker before a feed is read. */
export const layer: Layer.Layer<never> = Layer.effect(
  FeedReader,
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const reader = yield* Effect.cached(Effect.provideService(make(defaults), Scope.Scope, scope))
    return { read: (question) => Effect.flatMap(reader, ({ read }) => read(question)) }
  })
)
