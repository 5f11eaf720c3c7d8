/**
 * The ending of a seed, after all faults are healed and the mirror equals the source: most of a source disappears, or a
 * scope is narrowed. Processes are killed meanwhile. The oracle is the contract (DESIGN, "Deletions" and "Scope"): more
 * deletions than the threshold are held until a person approves the listed deletions, and content outside of the scope
 * is not deleted.
 */
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import type { Random } from "./Random.ts"
import type { Ending } from "./Schedule.ts"
import type { ChaosSource } from "./Source.ts"
import type { Tally } from "./Tally.ts"

type Deleted = ReadonlyArray<{ readonly id: string; readonly session: string }>

export interface Options {
  readonly connectionId: string
  readonly name: string
  readonly source: ChaosSource
  readonly random: Random
  readonly tally: Tally
  readonly note: (line: string) => void
  readonly problems: Array<string>
  /** Runs against the seed's store, and retries while the database can't be reached. */
  readonly ask: <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.Effect<A>
  readonly deletions: Effect.Effect<{ readonly staged: number; readonly held: number; readonly isBusy: boolean }>
  /** Every deletion since the seed began. */
  readonly deleted: Effect.Effect<Deleted>
  readonly timePasses: Effect.Effect<void>
  /** Kills a process, or terminates the session of a commit. */
  readonly strike: Effect.Effect<void>
  readonly differences: Effect.Effect<ReadonlyArray<string>>
  /** Runs an action before the response to the given number of further requests to the source. */
  readonly before: (requests: number, act: () => void) => void
  readonly patience: Duration.Duration
}

/** Waits until `check` returns nothing. Reports a problem if that takes too long. */
const until = Effect.fnUntraced(function* (options: Options, check: Effect.Effect<string | undefined>) {
  const deadline = Date.now() + Duration.toMillis(options.patience)
  let left = yield* check
  while (left !== undefined && Date.now() < deadline) {
    yield* Effect.sleep(60)
    yield* options.timePasses
    left = yield* check
  }
  if (left !== undefined) options.problems.push(`${options.name}: ${left}`)
  return left === undefined
})

const pause = (options: Options, reason: string | null) =>
  options.ask(Effect.flatMap(WholeStore, (store) => store.setPaused(ConnectionId.make(options.connectionId), reason)))

/**
 * Pauses the connection between two passes: a change of the source is then found completely by one pass (or reading of
 * the changes) that begins later.
 */
const betweenPasses = Effect.fnUntraced(function* (options: Options) {
  const isQuiet = Effect.map(options.deletions, ({ isBusy, staged }) => !isBusy && staged === 0)
  return yield* until(
    options,
    Effect.gen(function* () {
      yield* pause(options, "the harness looks")
      for (let look = 0; look < 20; look += 1) {
        if (yield* isQuiet) return undefined
        yield* Effect.sleep(20)
      }
      yield* pause(options, null)
      return "it was never between two passes"
    })
  )
})

const listed = (options: Options) =>
  options.ask(
    Effect.flatMap(WholeStore, (store) =>
      store.deletions(ConnectionId.make(options.connectionId), { which: "held", limit: 10_000 })
    )
  )

/** Approves the deletions; undefined if the approval is refused because the held deletions have changed. */
const approve = (
  options: Options,
  approved: { readonly token: string } | { readonly externalIds: ReadonlyArray<string> }
) =>
  options.ask(
    Effect.flatMap(WholeStore, (store) =>
      store
        .approveDeletions(ConnectionId.make(options.connectionId), approved)
        .pipe(Effect.catchTag("DeletionsChanged", () => Effect.undefined))
    )
  )

const same = (one: Iterable<string>, other: Iterable<string>): boolean =>
  [...one].toSorted().join("\n") === [...other].toSorted().join("\n")

const vanish = Effect.fnUntraced(function* (options: Options) {
  const { note, problems, random, source, tally } = options
  if (source.vanish === undefined || source.reconsider === undefined) return
  if (!(yield* betweenPasses(options))) return
  const before = (yield* options.deleted).length
  /** The deletions since then. */
  const since = Effect.map(options.deleted, (all) => all.slice(before))
  let missing = source.vanish(random.chance(0.5))
  note(`${missing.length} items of ${options.name} vanish`)
  tally.order("most of a source vanishes")
  yield* pause(options, null)

  /** No approval was given yet, so nothing may be deleted. */
  let isWrong = false
  const nothingDeleted = Effect.map(since, (found) => {
    const [first] = found
    if (first === undefined || isWrong) return
    isWrong = true
    problems.push(
      `${first.session} deleted ${found.length} of ${missing.length}, and nobody approved that: ${first.id}`
    )
  })
  let sawSome = false
  const heldAll = Effect.gen(function* () {
    const { held, staged } = yield* options.deletions
    yield* nothingDeleted
    sawSome ||= staged > 0 && held === 0
    return held === missing.length || isWrong ? undefined : `${held} of ${missing.length} deletions are held`
  })
  for (let strikes = random.between(0, 2); strikes > 0; strikes -= 1) {
    yield* Effect.sleep(random.between(20, 300))
    yield* options.strike
  }
  if (!(yield* until(options, heldAll)) || isWrong) return
  tally.meet("most of a source vanishes")
  if (missing.length > 0) tally.order("deletions staged over several slices")
  if (sawSome) tally.meet("deletions staged over several slices")

  const first = yield* listed(options)
  const ids = first.deletions.map(({ externalId }) => externalId)
  if (!same(ids, missing))
    problems.push(`the list shows ${ids.length} held deletions, and others than the ${missing.length}`)

  // An approval of the listed deletions is refused if the held deletions have changed.
  missing = source.reconsider(missing)
  note(`${missing.length} items of ${options.name} are missing now`)
  tally.order("an approval of an older list")
  if (!(yield* until(options, heldAll)) || isWrong) return
  if ((yield* approve(options, { token: first.token })) !== undefined) {
    problems.push("an approval with the token of an older list was accepted")
  } else tally.meet("an approval of an older list")
  yield* nothingDeleted

  // Some are approved by id, and then the rest by token: exactly these are deleted.
  const second = yield* listed(options)
  const some = second.deletions.slice(0, 2).map(({ externalId }) => externalId)
  yield* approve(options, { externalIds: some })
  const afterSome = (yield* since).map(({ id }) => id)
  if (!same(afterSome, some))
    problems.push(`${some.length} deletions were approved, and others applied: ${afterSome.join(", ")}`)
  if ((yield* approve(options, { token: second.token })) !== undefined) {
    problems.push("the token of a list was accepted after a part of that list was approved")
  }
  const rest = yield* listed(options)
  const count = yield* approve(options, { token: rest.token })
  if (count !== missing.length - some.length)
    problems.push(`${rest.total} deletions were approved, and ${count} applied`)
  const after = yield* since
  if (
    !same(
      after.map(({ id }) => id),
      missing
    )
  )
    problems.push("other contents were deleted than those approved")
  if (after.some(({ session }) => session !== "chaos")) problems.push("a process deleted what only a person may")
})

const narrow = Effect.fnUntraced(function* (options: Options) {
  const { note, problems, random, source, tally } = options
  if (source.narrow === undefined) return
  source.scatter?.()
  const isRight = Effect.map(options.differences, ([first]) => first)
  if (!(yield* until(options, isRight)) || !(yield* betweenPasses(options))) return
  const before = (yield* options.deleted).length
  const { config, outside } = source.narrow()
  note(`the scope of ${options.name} leaves out ${outside.size} items`)
  const restarts = source.restart === undefined ? 0 : random.between(1, 3)
  for (let index = 0; index < restarts; index += 1) {
    tally.order("a listing of a new scope begins again")
    options.before(random.between(2, 12), () => {
      note(source.restart?.(random.between(0, 9)) ?? "")
      tally.meet("a listing of a new scope begins again")
    })
  }
  tally.order("a scope is narrowed")
  yield* options.ask(
    Effect.flatMap(WholeStore, (store) => store.updateConnection(ConnectionId.make(options.connectionId), { config }))
  )
  yield* pause(options, null)
  const strikes = random.between(0, 2)
  for (let index = 0; index < strikes; index += 1) {
    yield* Effect.sleep(random.between(20, 300))
    yield* options.strike
  }
  // Two more complete passes are needed at least, because the first may have begun before the last restart.
  for (let pass = 0; pass < 3; pass += 1) {
    yield* Effect.sleep(150)
    if (source.restart !== undefined) note(source.restart(0))
    yield* options.timePasses
  }
  if (!(yield* until(options, isRight)) || !(yield* betweenPasses(options))) return
  yield* pause(options, null)
  const wrong = (yield* options.deleted).slice(before).filter(({ id }) => outside.has(id))
  if (wrong.length > 0) {
    problems.push(`${wrong.length} contents that the new scope leaves out were deleted: ${wrong[0]?.id}`)
  } else tally.meet("a scope is narrowed")
})

export const play = (ending: Ending, options: Options) => (ending === "vanish" ? vanish(options) : narrow(options))
