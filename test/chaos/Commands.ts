/**
 * Seeds with the unchanged command line, including its bounds and clocks: `idem serve`, with `idem sync` at the same
 * time. They take far longer than seeds with lean processes, and cover what those omit: starting, signals, exit codes.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import * as ChildProcess from "node:child_process"
import * as Os from "node:os"
import * as Path from "node:path"
import { programFile } from "../support/IdemProcess.ts"
import * as Schedules from "./Schedule.ts"
import * as SeedDatabase from "./SeedDatabase.ts"
import type { Server } from "./Server.ts"
import type { ChaosSource } from "./Source.ts"
import * as Ftp from "./sources/Ftp.ts"
import * as Gmail from "./sources/Gmail.ts"
import * as Verify from "./Verify.ts"

const patience = Duration.seconds(90)

/** The milliseconds within which a process must end after a signal. The process's own limit is 5 seconds. */
const endsWithin = 15_000

const Counts = Schema.Struct({
  status: Schema.String,
  stored: Schema.Finite,
  updated: Schema.Finite,
  deleted: Schema.Finite,
  downloads: Schema.Finite
})
const decodeSync = Schema.decodeUnknownEffect(Schema.fromJsonString(Counts))

export interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>
  /** Returns the output so far. */
  readonly said: () => string
}

/** Returns true if the process has begun to serve. A process that could not start also writes to stdout. */
const serves = (running: Running): boolean => running.said().includes('"serving"')

export const spawn = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>): Running => {
  const child = ChildProcess.spawn(process.execPath, [programFile("src/main.ts"), ...args, "--json"], {
    cwd: Os.tmpdir(),
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let [stdout, stderr] = ["", ""]
  child.stdout.on("data", (bytes) => (stdout += String(bytes)))
  child.stderr.on("data", (bytes) => (stderr += String(bytes)))
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })
  return { child, ended, said: () => stdout }
}

/** The `DATABASE_URL` of a seed's database. */
export const urlOf = ({ password, socket, username }: Server, database: string): string =>
  `postgresql://${username}:${encodeURIComponent(password)}@localhost/${database}?host=${encodeURIComponent(Path.dirname(socket))}`

/** Returns true for faults that end only with a call's time limit, a minute. Only lean processes play these faults. */
const takesMinutes = (domain: string, { deed }: Schedules.Deed): boolean =>
  domain === "gmail" && (deed % 14 === 5 || (deed % 14 > 10 && deed % 4 === 3))

export const play = Effect.fnUntraced(function* (
  server: Server,
  schedule: Schedules.Schedule,
  note: (line: string) => void,
  problems: Array<string>
) {
  const database = yield* SeedDatabase.make(server, "cli", schedule.seed)
  const { ask } = database
  const env = {
    DATABASE_URL: urlOf(server, database.name),
    IDEM_SECRET_KEY: randomBytes(32).toString("base64"),
    IDEM_SHUTDOWN_TIMEOUT: "5 seconds",
    PORT: "0"
  }

  const mirrored: Array<{ readonly name: string; id: string; readonly source: ChaosSource }> = []
  for (const [index, plan] of schedule.sources.entries()) {
    // Complete passes of Slack come once a day, and this clock can't be put forward.
    const domain = plan.domain === "slack" ? "gmail" : plan.domain
    const source = yield* domain === "ftp" ? Ftp.make(plan) : Gmail.make(plan)
    const name = `${domain}-${index}`
    const { config, credentials } = source
    const connecting = spawn(
      // prettier-ignore
      ["connect", domain, "--name", name, "--config", JSON.stringify(config), "--credentials", JSON.stringify(credentials), "--every", "1 second"],
      env
    )
    const { code, stderr } = yield* Effect.promise(() => connecting.ended)
    if (code !== 0) problems.push(`idem connect ended with ${code}: ${stderr}`)
    mirrored.push({ name, id: "", source })
  }
  const rows = yield* ask(Verify.connections)
  for (const one of mirrored) one.id = rows.find((row) => row.name === one.name)?.id ?? ""

  // ---- the processes: the first serves, the others sync what there is, again and again
  // ---------------------------------
  const told = new Set<Running>()
  let over = false
  const processes: Array<Running> = []
  const begin = (index: number): void => {
    const name = mirrored[index % mirrored.length]?.name ?? ""
    const running = spawn(index === 0 ? ["serve"] : ["sync", name], env)
    processes[index] = running
    void running.ended.then(({ code, stderr }) => {
      if (over) return
      // A process that could not start because the database was unreachable is started again, as by a supervisor.
      if (index === 0 && !told.has(running) && serves(running)) {
        problems.push(`idem serve ended by itself with ${code}: ${stderr.slice(-500)}`)
      }
      if (/defect/i.test(stderr)) problems.push(`idem ${index === 0 ? "serve" : "sync"}: ${stderr.slice(-500)}`)
      setTimeout(() => (over || processes[index] !== running ? undefined : begin(index)), 100)
    })
  }
  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      over = true
      for (const running of processes) running.child.kill("SIGKILL")
      await Promise.all(processes.map((running) => running.ended))
    })
  )
  const stop = Effect.fnUntraced(function* (index: number) {
    const running = processes[index]
    if (running === undefined || running.child.exitCode !== null) return
    // A process that has not begun to serve has no work to end in order.
    const inOrder = index === 0 && serves(running)
    told.add(running)
    running.child.kill("SIGTERM")
    const ended = yield* Effect.timeoutOption(
      Effect.promise(() => running.ended),
      endsWithin
    )
    if (ended._tag === "None") {
      problems.push(`process ${running.child.pid} did not end within 15 seconds of SIGTERM`)
      running.child.kill("SIGKILL")
    } else if (inOrder && ended.value.code !== 0) {
      problems.push(`idem serve ended with ${ended.value.code} on SIGTERM: ${ended.value.stderr.slice(-500)}`)
    }
  })
  for (let index = 0; index < Math.max(2, schedule.processes); index += 1) begin(index)
  yield* Effect.sleep("2 seconds")

  for (const { event, milliseconds } of schedule.steps) {
    yield* Effect.sleep(milliseconds * 4)
    const target = "source" in event ? mirrored[event.source] : undefined
    if (event._tag === "Change" && target !== undefined) note(`change: ${target.source.change(event.deed)}`)
    else if (event._tag === "Fault" && target !== undefined) {
      if (!takesMinutes(target.source.domain, event.deed)) note(`fault: ${target.source.fault(event.deed)}`)
    } else if (event._tag === "Kill") {
      const running = processes[event.process]
      if (running === undefined) continue
      note(`kill ${running.child.pid}`)
      told.add(running)
      running.child.kill("SIGKILL")
    } else if (event._tag === "Stop") {
      note(`stop ${processes[event.process]?.child.pid}`)
      yield* stop(event.process)
    } else if (event._tag === "Database") {
      note(`the database: ${event.how}`)
      yield* event.how === "sessions" ? server.cut(database.name) : server.restart(event.how)
    } else if (event._tag === "Time") {
      note("time passes")
      yield* ask(Verify.timePasses)
    }
  }

  note("healing")
  for (const { source } of mirrored) source.heal()
  const differences = Effect.gen(function* () {
    const found: Array<string> = []
    for (const { id, name, source } of mirrored) {
      const { found: stored, problems } = yield* ask(Verify.stored(id, ""))
      found.push(...[...problems, ...source.differences(stored)].map((text) => `${name}: ${text}`))
    }
    return [...found, ...(yield* ask(Verify.ledger))]
  })
  const deadline = Date.now() + Duration.toMillis(patience)
  let wrong = yield* differences
  while (wrong.length > 0 && Date.now() < deadline) {
    yield* ask(Effect.andThen(Verify.personActs, Verify.timePasses))
    yield* Effect.sleep(500)
    wrong = yield* differences
  }
  problems.push(...wrong.slice(0, 10).map((text) => `never came right: ${text}`))
  note("quiet")

  over = true
  for (let index = 0; index < processes.length; index += 1) yield* stop(index)
  for (const { name } of mirrored) {
    const { code, stderr, stdout } = yield* Effect.promise(() => spawn(["sync", name], env).ended)
    const last = yield* Effect.option(decodeSync(stdout))
    if (code !== 0 || last._tag === "None")
      problems.push(`the last sync of ${name} ended with ${code}: ${stderr}${stdout}`)
    else if (last.value.stored + last.value.updated + last.value.deleted > 0) {
      problems.push(`the last sync of ${name} still found ${JSON.stringify(last.value)}`)
    }
  }
  problems.push(...(yield* ask(Verify.violations)), ...(yield* ask(Verify.leftovers)))
  for (const failure of yield* ask(Verify.failures)) note(failure)
})
