/** Plays one seed, from its schedule to its verdict. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/Blobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Commands from "./Commands.ts"
import * as Copies from "./Copies.ts"
import type { Lean, Pool } from "./Process.ts"
import type { Broken } from "./Protocol.ts"
import * as Schedules from "./Schedule.ts"
import type { Server } from "./Server.ts"
import type { ChaosSource, StoredRow } from "./Source.ts"
import * as Ftp from "./sources/Ftp.ts"
import * as Gmail from "./sources/Gmail.ts"
import * as Slack from "./sources/Slack.ts"
import * as Clients from "./Clients.ts"
import * as Endings from "./Endings.ts"
import { Random } from "./Random.ts"
import { Tally } from "./Tally.ts"
import * as Verify from "./Verify.ts"

/** The downloads that a crash may cost: two batches, those in flight, and those between the two. */
const crashCost = 2 * 10 + 4 + 16

/** How long a healed seed may take until its mirror is right, unless it is said. */
const patience = Duration.minutes(2)

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
  /** Empty where the seed passed. */
  readonly problems: ReadonlyArray<string>
  /** The events, line by line. */
  readonly log: ReadonlyArray<string>
  readonly milliseconds: number
  readonly tally: Tally
}

const makers = { ftp: Ftp.make, gmail: Gmail.make, slack: Slack.make }

const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))

interface Mirrored {
  readonly name: string
  readonly id: string
  readonly source: ChaosSource
  /** Downloads that a person has asked for again. */
  forced: number
  /** The ids that a person has asked for by themselves. */
  readonly byId: Set<string>
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
  const database = `seed_${schedule.seed}_${randomBytes(4).toString("hex")}`
  yield* server.database(database)
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-chaos-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  const disk = Path.join(folder, "full")
  const sql = PgClient.layer({
    path: server.socket,
    username: server.username,
    password: Redacted.make(server.password),
    database,
    maxConnections: 3,
    applicationName: "chaos"
  })
  const context = yield* Layer.build(Layer.provideMerge(Postgres.layer, Layer.merge(sql, Blobs.layerMemory)))
  /** The harness's own statements: tried again while the server is away. */
  const ask = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient | Store>): Effect.Effect<A> =>
    Effect.provideContext(effect, context).pipe(
      Effect.catchDefect((defect) => Effect.fail(defect)),
      Effect.retry({ times: 60, schedule: Schedule.spaced("100 millis") }),
      Effect.orDie
    )

  // ---- the sources and their connections -----------------------------------------------------------------------
  const mirrored: Array<Mirrored> = []
  for (const [index, plan] of schedule.sources.entries()) {
    const source = yield* makers[plan.domain](plan)
    const name = `${plan.domain} ${index}`
    const [row] = yield* ask(
      SqlClient.SqlClient.use((sql) =>
        Effect.flatMap(
          sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms)
            VALUES (${name}, ${plan.domain}, ${`me ${index}`}, ${JSON.stringify(source.config)}::json,
              ${new TextEncoder().encode(JSON.stringify(source.credentials))}, 100) RETURNING id::text AS id`,
          decodeIds
        )
      )
    )
    mirrored.push({ name, id: row?.id ?? "", source, forced: 0, byId: new Set() })
  }

  let requests = 0
  const waiters = new Set<{ readonly at: number; readonly reached: Deferred.Deferred<void> }>()
  const armed: Array<{ left: number; readonly act: () => void }> = []
  for (const { source } of mirrored) {
    source.onRequest = () => {
      requests += 1
      for (const waiter of waiters) if (requests >= waiter.at) Deferred.doneUnsafe(waiter.reached, Exit.void)
      for (const one of armed.filter((one) => (one.left -= 1) === 0)) one.act()
    }
  }
  const afterRequests = (count: number, milliseconds: number) =>
    Effect.gen(function* () {
      const waiter = { at: requests + count, reached: yield* Deferred.make<void>() }
      waiters.add(waiter)
      yield* count === 0
        ? Effect.sleep(milliseconds)
        : Effect.timeoutOption(Deferred.await(waiter.reached), milliseconds)
      waiters.delete(waiter)
    })

  // ---- the processes -------------------------------------------------------------------------------------------
  const beginning = {
    _tag: "Start",
    socket: server.socket,
    username: server.username,
    password: server.password,
    database,
    folder,
    broken: options.broken ?? null,
    leaseMillis: Schedules.leaseMillis
  } as const
  let { inFolder } = schedule
  const complaints = (lean: Lean) => problems.push(...lean.complaints().map((text) => `process ${lean.pid}: ${text}`))
  const processes: Array<Lean> = []
  let hours = 0
  /** Starts a process in this place. The first place serves. */
  const enter = Effect.fnUntraced(function* (index: number) {
    const lean = yield* pool.take
    yield* lean.start({ ...beginning, inFolder, serves: schedule.serves && index === 0 })
    if (hours > 0) yield* lean.later(hours)
    processes[index] = lean
  })
  /** Hours pass: what is due later is due now, for the database and for every process. */
  const timePasses = Effect.gen(function* () {
    hours += 1
    yield* Effect.forEach(processes, (lean) => lean.later(1), { discard: true })
    yield* ask(Verify.timePasses)
  })
  const standing = Effect.map(ask(Verify.standing), (lines) => lines.forEach(note))
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
  for (let index = 0; index < schedule.processes; index += 1) yield* enter(index)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      // Only where the seed was broken off: whoever still runs it can't be used for another.
      for (const lean of processes.splice(0)) lean.signal("SIGKILL")
    })
  )
  const clients = schedule.serves
    ? yield* Clients.make({ port: () => processes[0]?.port(), tally, note, problems })
    : undefined
  if (clients !== undefined) yield* Effect.forkScoped(clients.listen)
  const frozen = new Map<Lean, Fiber.Fiber<void>>()
  const thaw = (lean: Lean) =>
    Effect.sync(() => {
      lean.signal("SIGCONT")
      frozen.delete(lean)
    })

  // ---- what happens --------------------------------------------------------------------------------------------
  let disruptions = 0
  const kill = Effect.fnUntraced(function* (index: number, lean: Lean) {
    disruptions += 1
    note(`kill ${lean.pid}`)
    complaints(lean)
    lean.signal("SIGKILL")
    frozen.delete(lean)
    yield* enter(index)
  })
  /** Adds items, and terminates the session of a commit while later items are under way. */
  const terminateCommit = Effect.fnUntraced(function* () {
    tally.order("a commit's session terminated")
    const count = yield* server.terminateCommit(database, afterRequests(3, 250))
    disruptions += count
    note(`terminated the sessions of ${count} commits`)
    if (count > 0) tally.meet("a commit's session terminated")
  })
  const background: Array<Fiber.Fiber<void>> = []
  const happen = Effect.fnUntraced(function* (event: Schedules.Event) {
    const target = "source" in event ? mirrored[event.source] : undefined
    const struck = "process" in event ? processes[event.process] : undefined
    switch (event._tag) {
      case "Change": {
        if (target === undefined) return
        const act = () => note(`change: ${target.source.change(event.deed)}`)
        if (event.before === 0) act()
        else armed.push({ left: event.before, act })
        return
      }
      case "Fault":
        if (target !== undefined) note(`fault: ${target.source.fault(event.deed)}`)
        return
      case "Kill":
        if (struck === undefined) return
        yield* kill(event.process, struck)
        return
      case "Stop":
        if (struck === undefined || frozen.has(struck)) return
        disruptions += 1
        note(`stop ${struck.pid}`)
        yield* leave(struck)
        yield* enter(event.process)
        return
      case "Freeze": {
        if (struck === undefined || frozen.has(struck)) return
        disruptions += 1
        note(`freeze ${struck.pid} for ${event.milliseconds} ms`)
        struck.signal("SIGSTOP")
        const fiber = yield* Effect.sleep(event.milliseconds).pipe(
          Effect.andThen(Effect.sync(() => note(`thaw ${struck.pid}`))),
          Effect.andThen(thaw(struck)),
          Effect.forkScoped
        )
        frozen.set(struck, fiber)
        return
      }
      case "Database":
        disruptions += processes.length
        note(`the database: ${event.how}`)
        yield* event.how === "sessions" ? server.cut(database) : server.restart(event.how)
        return
      case "TerminateCommit": {
        if (target === undefined) return
        const { domain } = target.source
        const adds = { ...event.deed, deed: 0, size: 4 }
        for (let index = 0; index < 3; index += 1) note(`change in ${domain}: ${target.source.change(adds)}`)
        yield* ask(Verify.timePasses)
        yield* terminateCommit()
        return
      }
      case "Task": {
        if (target === undefined || clients === undefined) return
        const ids = target.source.ids().filter((_, index) => index % 7 < event.ids)
        const body =
          event.ids === 0 ? {} : event.ids === 4 ? { force: true } : { forceIds: ids.slice(0, 10).map(String) }
        if (event.ids > 0) target.forced += event.ids === 4 ? target.source.ids().length * 2 + 10 : 10
        if (event.ids > 0 && event.ids < 4 && ids.length === 0) return
        for (const id of body.forceIds ?? []) target.byId.add(id)
        background.push(yield* Effect.forkScoped(clients.submit(target.name, body, event.twice)))
        return
      }
      case "Endpoint":
        clients?.endpoint.fail(event.how, event.times)
        return
      case "BlobFolder":
        note("large bodies go into a folder")
        inFolder = true
        for (const [index, lean] of processes.entries()) {
          const thawing = frozen.get(lean)
          if (thawing !== undefined) yield* Fiber.join(thawing)
          disruptions += 1
          yield* leave(lean)
          yield* enter(index)
        }
        return
      case "FullDisk":
        note(`the disk is full for ${event.milliseconds} ms`)
        Fs.writeFileSync(disk, "")
        background.push(
          yield* Effect.sleep(event.milliseconds).pipe(
            Effect.andThen(Effect.sync(() => Fs.rmSync(disk, { force: true }))),
            Effect.forkScoped
          )
        )
        return
      case "Hint": {
        if (target === undefined || struck === undefined) return
        const { of, stream, times, which } = event
        const isListening = stream === "silent" ? null : stream === "listens"
        const ids = target.source.ids()
        const item = ids[which % Math.max(1, ids.length)]
        const named = of === "nothing" || item === undefined ? [`nowhere/${which}`] : [item, item.split("/")[0] ?? item]
        const parts = of === "anything" ? [] : named
        note(`hint ${times} times to ${struck.pid}: ${parts.join(", ") || "anything"}`)
        tally.order("a hint", times)
        for (let time = 0; time < times; time += 1) {
          const hint = { connectionId: ConnectionId.make(target.id), parts, isListening }
          yield* struck.hint(hint, () => tally.meet("a hint"))
        }
        return
      }
      case "Time":
        note("time passes")
        yield* timePasses
        return
      case "Force": {
        const lean = processes[0]
        if (target === undefined || lean === undefined || frozen.has(lean)) return
        const ids = target.source.ids()
        const forceIds = [...new Set([ids[event.ids * 7], ids[event.ids * 3], ids[0]])].flatMap((id) =>
          id === undefined ? [] : [id]
        )
        const all = event.ids === 0
        target.forced += all ? ids.length * 2 + 10 : forceIds.length
        if (!all) for (const id of forceIds) target.byId.add(id)
        note(`force ${all ? "everything" : forceIds.join(", ")} of ${target.name}`)
        background.push(
          yield* lean.sync({ name: target.name, force: all, forceIds: all ? [] : forceIds }).pipe(
            Effect.tap((done) => Effect.sync(() => note(`forced: ${done.status} ${done.error}`))),
            Effect.asVoid,
            Effect.forkScoped
          )
        )
        return
      }
    }
  })
  for (const step of schedule.steps) {
    yield* afterRequests(step.requests, step.milliseconds)
    yield* happen(step.event)
  }

  // ---- healing -------------------------------------------------------------------------------------------------
  note("healing")
  for (const one of armed.splice(0)) if (one.left > 0) one.act()
  yield* Effect.forEach(frozen.values(), Fiber.join, { discard: true })
  for (const { source } of mirrored) source.heal()
  clients?.endpoint.heal()
  Fs.rmSync(disk, { force: true })

  const approve = (connectionId: string) =>
    Effect.provideContext(
      Effect.flatMap(WholeStore, (store) =>
        Effect.gen(function* () {
          const id = ConnectionId.make(connectionId)
          const { token } = yield* store.deletions(id, { which: "held", limit: 1 })
          return yield* store.approveDeletions(id, { token })
        })
      ),
      context
    )
  /**
   * How the mirror of one source differs from it. An item that a person asked for by its id, and that the source
   * removed before a listing showed it, may stay stored: absence deletes only what a listing has shown.
   */
  const differencesOf = ({ byId, id, source }: Mirrored) =>
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
  /** Tasks that have not ended, and changes that no webhook was told. */
  const waits =
    clients === undefined
      ? Effect.succeed([])
      : Effect.gen(function* () {
          return [...(yield* clients.unfinished), ...clients.missing(yield* ask(Verify.changed))]
        })
  /** Lets hours pass, and acts as a person does, until nothing is left to wait for. */
  const settle = Effect.fnUntraced(function* (check: Effect.Effect<ReadonlyArray<string>>) {
    const deadline = Date.now() + Duration.toMillis(options.patience ?? patience)
    let wrong = yield* check
    for (let look = 0; wrong.length > 0 && Date.now() < deadline; look += 1) {
      yield* ask(Verify.personActs(approve))
      // A slice ends when hours pass: it is let do something in between.
      yield* look % 5 === 0 ? timePasses : ask(Verify.timePasses)
      yield* Effect.sleep(150)
      wrong = yield* check
    }
    if (wrong.length === 0) return true
    problems.push(...wrong.slice(0, 10).map((text) => `never came right: ${text}`))
    yield* standing
    return false
  })
  yield* Effect.forEach(processes, (lean) => lean.ready, { discard: true })
  let isRight = yield* settle(differences)
  yield* Effect.forEach(background, Fiber.join, { discard: true })
  if (isRight && clients !== undefined) {
    isRight = yield* settle(waits)
    if (isRight) clients.meetTasks()
  }
  note("quiet")

  // ---- a change of which every process is told, twice, beside hints of what did not change -------------------------
  const [hinted] = schedule.sources.flatMap(({ ending }, index) => (ending === undefined ? [index] : []))
  if (isRight && schedule.kind === "lean" && hinted !== undefined) {
    note(`change: ${mirrored[hinted]?.source.change({ deed: 0, which: 0, size: 2 })}`)
    for (const process of processes.keys()) {
      const hint = { _tag: "Hint", source: hinted, process, which: process, times: 2, stream: "silent" } as const
      for (const what of ["nothing", "items", "anything"] as const) yield* happen({ ...hint, of: what })
    }
    isRight = yield* settle(differences)
  }

  // ---- the endings, and what clients read then -------------------------------------------------------------------
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
        const index = random.between(0, processes.length - 1)
        const lean = processes[index]
        return lean === undefined ? Effect.void : kill(index, lean)
      }),
      differences: differencesOf(one),
      before: (left, act) => void armed.push({ left, act }),
      patience: options.patience ?? patience
    })
  }
  if (isRight && problems.length === 0 && clients !== undefined) isRight = yield* settle(waits)
  problems.push(...(clients?.endpoint.violations() ?? []))

  // ---- one last sync by one process, which finds nothing to do ----------------------------------------------------
  const [last, ...others] = processes
  yield* Effect.forEach(others, leave, { discard: true, concurrency: "unbounded" })
  yield* ask(Verify.personActs(approve))
  if (last !== undefined && isRight && problems.length === 0) {
    for (const { name, source } of mirrored) {
      const done = yield* last.sync({ name, force: false, forceIds: [] })
      if (done.status !== "succeeded") {
        problems.push(`the last sync of ${name} ${done.status}: ${done.error}`)
        yield* standing
      }
      const { deleted = 0, stored = 0, updated = 0 } = done.counts
      // No revision of Slack's tells of a reaction: whatever lists its message next finds it, whenever that is.
      if (stored + deleted + (source.domain === "slack" ? 0 : updated) > 0)
        problems.push(`the last sync of ${name} still found ${JSON.stringify(done.counts)}`)
    }
    problems.push(...(yield* differences).slice(0, 10).map((text) => `wrong after the last sync: ${text}`))
  }
  if (last !== undefined) yield* leave(last)
  processes.splice(0)

  // ---- the verdict -----------------------------------------------------------------------------------------------
  for (const { source } of mirrored) tally.add(source.tally)
  problems.push(...(yield* ask(Verify.violations)))
  // The server takes a moment to notice that a process is gone.
  const left = yield* ask(Verify.leftovers).pipe(
    Effect.repeat({ until: (found) => found.length === 0, times: 20, schedule: Schedule.spaced("50 millis") }),
    Effect.andThen(ask(Verify.leftovers))
  )
  problems.push(...left)
  for (const failure of yield* ask(Verify.failures)) note(failure)
  const broke = disruptions + (yield* ask(Verify.brokenRuns))
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
