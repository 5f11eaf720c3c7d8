/**
 * Reads feeds in worker processes, which have bounds of time and memory: see `WorkerPool.ts`. `FeedParser.ts` parses
 * them there. Parsing 14 MB takes seconds, and a feed can be made so that a few kilobytes take as long.
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

/** The entries, for `EntryPages.unpack`; or why these bytes are no feed. */
export type Answer =
  | (Omit<Read, "entries"> & { readonly pages: ReadonlyArray<Uint8Array>; readonly count: number })
  | { readonly problem: string }

// The worker's file has the extension of this one: .ts in the repository, .js in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

const defaults = { atOnce: 2, longest: Duration.minutes(1), megabytes: 512 }

/** A reader whose workers end with the scope. */
export const make = (limits: Omit<WorkerPool.Options, "program">) =>
  Effect.map(WorkerPool.make<Question, Answer>({ program, ...limits }), ({ ask }) => ({
    read: (question: Question) => ask(Effect.succeed(question), ({ bytes }) => bytes.length)
  }))

/** By default each feed has a worker of its own. The layer keeps workers warm for a process's feeds. */
export const FeedReader = Context.Reference("idem/integrations/rss/FeedReader", {
  defaultValue: () => ({
    read: (question: Question) => Effect.scoped(Effect.flatMap(make(defaults), ({ read }) => read(question)))
  })
})

/** Nothing is started before a feed is read. */
export const layer: Layer.Layer<never> = Layer.effect(
  FeedReader,
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const reader = yield* Effect.cached(Effect.provideService(make(defaults), Scope.Scope, scope))
    return { read: (question) => Effect.flatMap(reader, ({ read }) => read(question)) }
  })
)
