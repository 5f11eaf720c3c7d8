/** Waits until the mirrors, tasks and webhook of a healed seed are complete. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Clients } from "./Clients.ts"
import type { MirroredSource, Requests } from "./MirroredSources.ts"
import type { SeedDatabase } from "./SeedDatabase.ts"
import type { SeedProcesses } from "./SeedProcesses.ts"
import type { StoredRow } from "./Source.ts"
import * as Verify from "./Verify.ts"

export interface Options {
  readonly database: SeedDatabase
  readonly mirrored: ReadonlyArray<MirroredSource>
  readonly requests: Requests
  readonly processes: SeedProcesses
  readonly clients: Clients | undefined
  /** The seed's own folder. */
  readonly folder: string
  readonly patience: Duration.Duration
  readonly problems: Array<string>
}

export const make = (options: Options) => {
  const { clients, folder, mirrored, patience, problems, processes, requests } = options
  const { ask } = options.database
  /**
   * Returns the differences between one source and its mirror. An item that a person requested by id, and that the
   * source removed before a listing showed it, may stay stored: absence deletes only items that a listing has shown.
   */
  const differencesOf = ({ byId, id, source }: MirroredSource) =>
    Effect.map(ask(Verify.stored(id, folder)), ({ found, problems }) => {
      const present = new Set(source.ids())
      const isKept = (row: StoredRow) => !row.isListed && byId.has(row.externalId) && !present.has(row.externalId)
      return [...problems, ...source.differences(new Map([...found].filter(([, row]) => !isKept(row))))]
    })
  const differences = Effect.gen(function* () {
    const found: Array<string> = []
    for (const one of mirrored) found.push(...(yield* differencesOf(one)).map((text) => `${one.name}: ${text}`))
    return [...found, ...(yield* ask(Verify.ledger))]
  })
  /**
   * Lets hours pass, and acts as a person does, until nothing is left to wait for. Returns false, with a problem, if
   * there is no progress for long. Because a slice ends when hours pass, it gets time to make progress in between, even
   * on a slow machine.
   */
  const until = Effect.fnUntraced(function* (check: Effect.Effect<ReadonlyArray<string>>) {
    const wait = Duration.toMillis(patience)
    let deadline = Date.now() + wait
    let wrong = yield* check
    let [looks, asked] = [0, requests.count()]
    while (wrong.length > 0 && Date.now() < deadline) {
      yield* ask(Verify.personActs)
      const isAtWork = requests.count() < asked + 20 && looks < 40 && (yield* ask(Verify.isHeld))
      if (looks % 5 > 0 || isAtWork) yield* ask(Verify.timePasses)
      else {
        yield* processes.timePasses
        looks = 0
        asked = requests.count()
      }
      looks += 1
      yield* Effect.sleep(150)
      const before = wrong
      wrong = yield* check
      if (wrong.join() !== before.join()) deadline = Date.now() + wait
    }
    if (wrong.length === 0) return true
    problems.push(...wrong.slice(0, 10).map((text) => `never came right: ${text}`))
    yield* processes.standing
    return false
  })
  /** Lists the tasks that have not ended, and the changes that were not delivered to the webhook. */
  const waits =
    clients === undefined
      ? Effect.succeed([])
      : Effect.gen(function* () {
          return [...(yield* clients.unfinished), ...clients.missing(yield* ask(Verify.changed))]
        })
  return {
    differencesOf,
    differences,
    /** Waits until the mirrors equal their sources. */
    mirrors: until(differences),
    /** Waits until the tasks have ended and all changes were delivered to the webhook. */
    clients: until(waits)
  }
}
