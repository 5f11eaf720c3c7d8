/**
 * Seeds of `idem copy`: `idem serve` polls in its own folder while the folder is copied into a PostgreSQL, and the
 * source changes. Then Idem continues in the target. The oracle: the target's mirror becomes right, and copied content
 * is not downloaded again.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Commands from "./Commands.ts"
import { Random } from "./Random.ts"
import type * as Schedules from "./Schedule.ts"
import * as SeedDatabase from "./SeedDatabase.ts"
import type { Server } from "./Server.ts"
import * as Ftp from "./sources/Ftp.ts"
import * as Gmail from "./sources/Gmail.ts"
import type { Tally } from "./Tally.ts"
import * as Verify from "./Verify.ts"

const patience = Duration.seconds(120)

const decodeStatus = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ totals: Schema.Struct({ stored: Schema.Finite }) }))
)
const decodeCopied = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      copied: Schema.Array(Schema.Struct({ name: Schema.String })),
      skipped: Schema.Array(Schema.String)
    })
  )
)

export const play = Effect.fnUntraced(function* (
  server: Server,
  schedule: Schedules.Schedule,
  note: (line: string) => void,
  problems: Array<string>,
  tally: Tally
) {
  const random = new Random(schedule.seed)
  const database = yield* SeedDatabase.make(server, "copy", schedule.seed)
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "idem-chaos-copy-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )
  Fs.chmodSync(folder, 0o755)
  const both = {
    IDEM_SECRET_KEY: randomBytes(32).toString("base64"),
    IDEM_SHUTDOWN_TIMEOUT: "5 seconds",
    PORT: "0"
  }
  const from = { ...both, IDEM_DATA_DIR: Path.join(folder, "data") }
  const into = { ...both, DATABASE_URL: Commands.urlOf(server, database.name) }
  const plan = { ...(schedule.sources[0] ?? { seed: 1 }), ending: undefined, items: random.between(30, 60) }
  const source = yield* random.chance(0.5)
    ? Gmail.make({ ...plan, domain: "gmail" })
    : Ftp.make({ ...plan, domain: "ftp" })
  let requests = 0
  source.onRequest = () => void (requests += 1)
  const { config, credentials, domain } = source
  const change = (deed: number) =>
    note(`change: ${source.change({ deed, which: random.between(0, 1_000_000), size: random.between(1, 4) })}`)

  const running = new Set<Commands.Running>()
  const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) => {
    const started = Commands.spawn(args, env)
    running.add(started)
    void started.ended.then(() => running.delete(started))
    return started
  }
  const idem = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
    Effect.promise(() => start(args, env).ended)
  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      const left = [...running]
      // In this order, so that a database of the folder is stopped too.
      for (const one of left) one.child.kill("SIGTERM")
      await Promise.all(left.map((one) => one.ended))
    })
  )

  // prettier-ignore
  const connected = yield* idem(
    ["connect", domain, "--name", "one", "--config", JSON.stringify(config), "--credentials", JSON.stringify(credentials), "--every", "1 second"],
    from
  )
  if (connected.code !== 0) return void problems.push(`idem connect ended with ${connected.code}: ${connected.stderr}`)
  const serve = start(["serve"], from)
  /** Either all content is stored before the copy begins, or the first sync is in progress. */
  const isComplete = random.chance(0.6)
  const deadline = Date.now() + Duration.toMillis(patience)
  while (Date.now() < deadline) {
    if (!isComplete && requests > 5) break
    if (isComplete) {
      const status = decodeStatus((yield* idem(["status", "one"], from)).stdout)
      if (status._tag === "Some" && status.value.totals.stored >= source.ids().length) break
    }
    yield* Effect.sleep(100)
  }

  // ---- copied while it polls, and perhaps killed the first time ---------------------------------------------------
  const dueBefore = source.downloads()?.due ?? 0
  const requestsBefore = requests
  note(`copy with ${isComplete ? "everything" : "a part"} stored`)
  tally.order("a copy while polling goes on")
  const isKilled = random.chance(0.4)
  const copying = start(["copy", "--from", from.IDEM_DATA_DIR], into)
  for (let changes = random.between(1, 4); changes > 0; changes -= 1) {
    yield* Effect.sleep(random.between(50, 800))
    change(random.between(0, 3))
  }
  if (isKilled) {
    tally.order("a copy that is killed")
    if (copying.child.exitCode === null) tally.meet("a copy that is killed")
    note("kill the copy")
    copying.child.kill("SIGKILL")
  }
  const ended = yield* Effect.promise(() => copying.ended)
  if (!isKilled && ended.code !== 0) problems.push(`idem copy ended with ${ended.code}: ${ended.stderr}${ended.stdout}`)
  const again = yield* idem(["copy", "--from", from.IDEM_DATA_DIR], into)
  const answer = decodeCopied(again.stdout)
  const names = answer._tag === "Some" ? [...answer.value.copied.map(({ name }) => name), ...answer.value.skipped] : []
  if (again.code !== 0 || names.join() !== "one") {
    problems.push(`the second copy ended with ${again.code}: ${again.stderr}${again.stdout}`)
  }
  if (requests > requestsBefore) tally.meet("a copy while polling goes on")

  // ---- goes on in the target ----------------------------------------------------------------------------------------
  serve.child.kill("SIGTERM")
  const stopped = yield* Effect.promise(() => serve.ended)
  if (stopped.code !== 0)
    problems.push(`idem serve ended with ${stopped.code} on SIGTERM: ${stopped.stderr.slice(-500)}`)
  if (problems.length > 0) return
  const madeBefore = source.downloads()?.made ?? 0
  change(random.between(0, 3))
  const [row] = yield* database.ask(Verify.connections)
  const differences = Effect.map(database.ask(Verify.stored(row?.id ?? "", "")), ({ found, problems }) => [
    ...problems,
    ...source.differences(found)
  ])
  const continued = start(["serve"], into)
  let wrong = yield* differences
  while (wrong.length > 0 && Date.now() < deadline + Duration.toMillis(patience)) {
    yield* Effect.sleep(200)
    wrong = yield* differences
  }
  problems.push(...wrong.slice(0, 10).map((text) => `never came right in the target: ${text}`))
  continued.child.kill("SIGTERM")
  yield* Effect.promise(() => continued.ended)
  const downloads = source.downloads()
  if (isComplete && downloads !== undefined) {
    const { due, made } = downloads
    note(`${made - madeBefore} downloads in the target, where ${due - dueBefore} changed since the copy began`)
    if (made - madeBefore > due - dueBefore) {
      problems.push(
        `the target made ${made - madeBefore} downloads, where ${due - dueBefore} changed since the copy began`
      )
    }
  }
  const last = yield* idem(["sync", "one"], into)
  if (last.code !== 0)
    problems.push(`the last sync in the target ended with ${last.code}: ${last.stderr}${last.stdout}`)
})
