/** Plays one seed, from its schedule to its verdict. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Clients from "./Clients.ts"
import * as Commands from "./Commands.ts"
import * as Convergence from "./Convergence.ts"
import * as Copies from "./Copies.ts"
import * as Endings from "./Endings.ts"
import * as Events from "./Events.ts"
import * as MirroredSources from "./MirroredSources.ts"
import type { Pool } from "./Process.ts"
import type { Broken } from "./Protocol.ts"
import { Random } from "./Random.ts"
import * as Schedules from "./Schedule.ts"
import * as SeedDatabase from "./SeedDatabase.ts"
import * as SeedProcesses from "./SeedProcesses.ts"
import type { Server } from "./Server.ts"
import { Tally } from "./Tally.ts"
import * as Verify from "./Verify.ts"

/** The downloads that a crash may waste: two batches, the downloads in flight, and those in between. */
const crashCost = 2 * 10 + 4 + 16

/** How long a healed seed may take until its mirror equals the source, unless the options override it. */
const defaultPatience = Duration.minutes(10)

export interface Options {
  readonly broken?: Broken | undefined
  readonly patience?: Duration.Duration | undefined
  readonly say?: ((line: string) => void) | undefined
}

export interface Lane {
  readonly server: Server
  readonly pool: Pool
}

export interface Verdict {
  readonly seed: number
  /** Empty if the seed passed. */
  readonly problems: ReadonlyArray<string>
  /** The events, one a line. */
  readonly log: ReadonlyArray<string>
  readonly milliseconds: number
  readonly tally: Tally
}

export const run = Effect.fn("Seed.run")(function* (lane: Lane, schedule: Schedules.Schedule, options: Options = {}) {
  const startedAt = Date.now()
  const log: Array<string> = []
  const note = (line: string) => {
    const text = `${String(Date.now() - startedAt).padStart(6)} ms  ${line}`
    log.push(text)
    options.say?.(text)
  }
  const problems: Array<string> = []
  const tally = new Tally()
  const exit = yield* Effect.exit(
    Effect.scoped(
      schedule.kind === "cli"
        ? Commands.play(lane.server, schedule, note, problems)
        : schedule.kind === "copy"
          ? Copies.play(lane.server, schedule, note, problems, tally)
          : play(lane, schedule, options, note, problems, tally)
    )
  )
  if (Exit.isFailure(exit)) problems.push(`the harness failed: ${Cause.pretty(exit.cause)}`)
  for (const problem of problems) note(`PROBLEM: ${problem}`)
  return { seed: schedule.seed, problems, log, milliseconds: Date.now() - startedAt, tally } satisfies Verdict
})

const play = Effect.fnUntraced(function* (
  lane: Lane,
  schedule: Schedules.Schedule,
  options: Options,
  note: (line: string) => void,
  problems: Array<string>,
  tally: Tally
) {
  const { pool, server } = lane
  const { broken, patience = defaultPatience } = options
  const standby = Schedules.failsOver(schedule) ? yield* server.standBy : undefined
  const database = yield* SeedDatabase.make(server, "seed", schedule.seed)
  const { ask } = database
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-chaos-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  const fullDisk = Path.join(folder, "full")
  const mirrored = yield* MirroredSources.make(schedule.sources, database)
  const requests = MirroredSources.countRequests(mirrored)
  const processes = yield* SeedProcesses.make({ pool, server, database, schedule, folder, broken, note, problems })
  const clients = schedule.serves
    ? yield* Clients.make({ port: () => processes.all[0]?.port(), tally, note, problems })
    : undefined
  if (clients !== undefined) {
    yield* Effect.forkScoped(clients.listen)
    yield* Effect.forkScoped(clients.reader.read)
  }

  const events = Events.make({
    server,
    database,
    mirrored,
    requests,
    processes,
    clients,
    standby,
    broken,
    fullDisk,
    note,
    tally
  })
  for (const step of schedule.steps) {
    yield* requests.after(step.requests, step.milliseconds)
    yield* events.happen(step.event)
  }

  // ---- healing -------------------------------------------------------------------------------------------------
  note("healing")
  requests.actNow()
  yield* processes.thawed
  for (const { source } of mirrored) source.heal()
  clients?.endpoint.heal()
  Fs.rmSync(fullDisk, { force: true })

  const convergence = Convergence.make({
    database,
    mirrored,
    requests,
    processes,
    clients,
    folder,
    patience,
    problems
  })
  yield* Effect.forEach(processes.all, (lean) => lean.ready, { discard: true })
  let isRight = yield* convergence.mirrors
  yield* events.ended
  if (isRight && clients !== undefined) {
    yield* clients.listenAgain
    isRight = yield* convergence.clients
    if (isRight) clients.meetTasks()
  }
  note("quiet")

  // ---- hints of a change, twice to every process, and hints without a change ---------------------------------------
  const [hinted] = schedule.sources.flatMap(({ ending }, index) => (ending === undefined ? [index] : []))
  if (isRight && schedule.kind === "lean" && hinted !== undefined) {
    note(`change: ${mirrored[hinted]?.source.change({ deed: 0, which: 0, size: 2 })}`)
    for (const process of processes.all.keys()) {
      const hint = { _tag: "Hint", source: hinted, process, which: process, times: 2, stream: "silent" } as const
      for (const what of ["nothing", "items", "anything"] as const) yield* events.happen({ ...hint, of: what })
    }
    isRight = yield* convergence.mirrors
  }

  // ---- the endings, and reads by clients -------------------------------------------------------------------------
  const random = new Random(schedule.seed)
  for (const one of isRight ? mirrored : []) {
    const { id, name, source } = one
    if (clients !== undefined) {
      const { found: rows } = yield* ask(Verify.stored(id, folder))
      yield* clients.readRanges(name, rows, random)
    }
    const { ending } = schedule.sources[mirrored.findIndex((one) => one.source === source)] ?? {}
    if (ending === undefined || problems.length > 0) continue
    yield* Endings.play(ending, {
      connectionId: id,
      name,
      source,
      random,
      tally,
      note,
      problems,
      ask,
      deletions: ask(Verify.deletions(id)),
      deleted: ask(Verify.deleted(id)),
      timePasses: ask(Verify.timePasses),
      strike: Effect.suspend(() => {
        const index = random.between(0, processes.all.length - 1)
        const lean = processes.all[index]
        return lean === undefined ? Effect.void : processes.kill(index, lean)
      }),
      differences: convergence.differencesOf(one),
      before: requests.before,
      patience
    })
  }
  if (isRight && problems.length === 0 && clients !== undefined) isRight = yield* convergence.clients
  problems.push(...(clients?.endpoint.violations() ?? []))

  // ---- the last sync by one process, which finds no work ----------------------------------------------------------
  const [last, ...others] = processes.all
  yield* Effect.forEach(others, processes.leave, { discard: true, concurrency: "unbounded" })
  yield* ask(Verify.personActs)
  if (last !== undefined && isRight && problems.length === 0) {
    for (const { name, source } of mirrored) {
      // On a slow machine the lease of a run may expire before it is renewed: then the sync is repeated.
      const done = yield* Effect.repeat(last.sync({ name, force: false, forceIds: [] }), {
        until: ({ error }) => !error.startsWith("Superseded"),
        times: 20
      })
      if (done.status !== "succeeded") {
        problems.push(`the last sync of ${name} ${done.status}: ${done.error}`)
        yield* processes.standing
      }
      const { deleted = 0, stored = 0, updated = 0 } = done.counts
      // Slack's revisions do not change with reactions: the next listing of the message finds the reaction, whenever
      // that is.
      if (stored + deleted + (source.domain === "slack" ? 0 : updated) > 0)
        problems.push(`the last sync of ${name} still found ${JSON.stringify(done.counts)}`)
    }
    problems.push(...(yield* convergence.differences).slice(0, 10).map((text) => `wrong after the last sync: ${text}`))
  }
  if (last !== undefined) yield* processes.leave(last)
  processes.all.splice(0)

  // ---- the verdict -----------------------------------------------------------------------------------------------
  for (const { source } of mirrored) tally.add(source.tally)
  problems.push(...(yield* ask(Verify.violations)))
  // The server takes a moment to notice that a process has ended.
  const gone = Effect.repeat(ask(Verify.leftovers), {
    until: (found) => found.length === 0,
    schedule: Schedule.spaced("50 millis")
  })
  if (Option.isNone(yield* Effect.timeoutOption(gone, patience))) problems.push(...(yield* ask(Verify.leftovers)))
  for (const failure of yield* ask(Verify.failures)) note(failure)
  const broke = processes.disruptions() + (yield* ask(Verify.brokenRuns))
  for (const { forced, name, source } of mirrored) {
    const downloads = source.downloads()
    if (downloads === undefined) continue
    const { due, made } = downloads
    note(`${name}: ${made} downloads, ${due} due, ${forced} forced, ${broke} disruptions`)
    if (made > due + forced + broke * crashCost) {
      problems.push(`${name}: ${made} downloads where ${due + forced} were due, and ${broke} disruptions struck`)
    }
  }
})
