/** The lean processes of a seed. Each has a place, which another process takes after it is killed or stopped. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type { Lean, Pool } from "./Process.ts"
import type { Broken } from "./Protocol.ts"
import { leaseMillis, type Schedule as SeedSchedule } from "./Schedule.ts"
import type { SeedDatabase } from "./SeedDatabase.ts"
import type { Server } from "./Server.ts"
import * as Verify from "./Verify.ts"

export interface Options {
  readonly pool: Pool
  readonly server: Server
  readonly database: SeedDatabase
  readonly schedule: SeedSchedule
  /** The seed's folder. */
  readonly folder: string
  readonly broken: Broken | undefined
  readonly note: (line: string) => void
  readonly problems: Array<string>
}

export type SeedProcesses = Effect.Success<ReturnType<typeof make>>

/** Starts the number of processes in the schedule. The first place serves HTTP if the schedule says so. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const { database, folder, note, pool, problems, schedule, server } = options
  const beginning = {
    _tag: "Start",
    socket: server.socket,
    username: server.username,
    password: server.password,
    database: database.name,
    folder,
    broken: options.broken ?? null,
    leaseMillis
  } as const
  const all: Array<Lean> = []
  const frozen = new Map<Lean, Fiber.Fiber<void>>()
  let { inFolder } = schedule
  let disruptions = 0
  let hours = 0

  const complaints = (lean: Lean) => problems.push(...lean.complaints().map((text) => `process ${lean.pid}: ${text}`))
  /** Starts a process in this place. */
  const enter = Effect.fnUntraced(function* (place: number) {
    const lean = yield* pool.take
    yield* lean.start({ ...beginning, inFolder, serves: schedule.serves && place === 0 })
    if (hours > 0) yield* lean.later(hours)
    all[place] = lean
  })
  const standing = Effect.map(database.ask(Verify.standing), (lines) => lines.forEach(note))
  /** Stops a process in order. */
  const leave = Effect.fnUntraced(function* (lean: Lean) {
    const stopped = yield* lean.stop
    complaints(lean)
    if (stopped) return pool.give(lean)
    if (lean.isAlive()) {
      problems.push(`process ${lean.pid} did not stop within a minute`)
      yield* standing
    }
    lean.signal("SIGKILL")
  })
  for (let place = 0; place < schedule.processes; place += 1) yield* enter(place)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      // Processes are left only if the seed was aborted: a process that still runs a seed can't be used for another.
      for (const lean of all.splice(0)) lean.signal("SIGKILL")
    })
  )
  const thaw = (lean: Lean) =>
    Effect.sync(() => {
      lean.signal("SIGCONT")
      frozen.delete(lean)
    })

  return {
    all,
    leave,
    /** Logs the locks that are held and waited for. */
    standing,
    isFrozen: (lean: Lean) => frozen.has(lean),
    /** Waits until no process is frozen. */
    thawed: Effect.suspend(() => Effect.forEach(frozen.values(), Fiber.join, { discard: true })),
    kill: Effect.fnUntraced(function* (place: number, lean: Lean) {
      disruptions += 1
      note(`kill ${lean.pid}`)
      complaints(lean)
      lean.signal("SIGKILL")
      frozen.delete(lean)
      yield* enter(place)
    }),
    stop: Effect.fnUntraced(function* (place: number, lean: Lean) {
      disruptions += 1
      note(`stop ${lean.pid}`)
      yield* leave(lean)
      yield* enter(place)
    }),
    freeze: Effect.fnUntraced(function* (lean: Lean, milliseconds: number) {
      disruptions += 1
      note(`freeze ${lean.pid} for ${milliseconds} ms`)
      lean.signal("SIGSTOP")
      // A process that is frozen for longer than its lease continues once another process holds all its leases, if
      // another may.
      const takenOver = Effect.repeat(database.ask(Verify.heldBy(lean.pid)), {
        until: (held) => held.length === 0,
        schedule: Schedule.spaced("20 millis")
      })
      const isAwaited = milliseconds > leaseMillis && frozen.size + 1 < all.length
      const fiber = yield* Effect.sleep(milliseconds).pipe(
        Effect.andThen(isAwaited ? Effect.exit(Effect.timeoutOption(takenOver, "5 seconds")) : Effect.void),
        Effect.andThen(Effect.sync(() => note(`thaw ${lean.pid}`))),
        Effect.andThen(thaw(lean)),
        Effect.forkScoped
      )
      frozen.set(lean, fiber)
    }),
    /** Stores large bodies in a folder from now on: processes with that setting take all places. */
    useFolder: Effect.gen(function* () {
      note("large bodies go into a folder")
      inFolder = true
      for (const [place, lean] of all.entries()) {
        const thawing = frozen.get(lean)
        if (thawing !== undefined) yield* Fiber.join(thawing)
        disruptions += 1
        yield* leave(lean)
        yield* enter(place)
      }
    }),
    /** Lets an hour pass, so that later work is due now, for the database and for every process. */
    timePasses: Effect.gen(function* () {
      hours += 1
      yield* Effect.forEach(all, (lean) => lean.later(1), { discard: true })
      yield* database.ask(Verify.timePasses)
    }),
    /** Counts events, each of which may have wasted the downloads in flight. */
    disrupted: (events: number) => void (disruptions += events),
    disruptions: () => disruptions
  }
})
