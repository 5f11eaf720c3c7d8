/** `idem status` and `idem runs`: how connections are, and how their runs went. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Store, type Connection, type Run, type TaskRow, type Totals } from "../engine/Store.ts"
import * as Documents from "./Documents.ts"
import * as Input from "./Input.ts"
import { Output, type Style } from "./Output.ts"
import * as Services from "./Services.ts"
import * as Text from "./Text.ts"

interface State {
  readonly connection: Connection
  readonly totals: Totals
  readonly lastRun: Run | undefined
  readonly tasks: ReadonlyArray<TaskRow>
}

const stateOf = Effect.fnUntraced(function* (connection: Connection) {
  const store = yield* Store
  const state: State = {
    connection,
    totals: yield* store.totals(connection.id),
    lastRun: (yield* store.runs(connection.id, 1))[0],
    tasks: yield* store.openTasks(connection.id)
  }
  return state
})

/** The command that goes on with an unfinished task: its spec is the flags that it was begun with. */
const resumes = (connection: Connection, task: TaskRow): string =>
  `idem sync ${Text.shellWord(connection.name)}${task.spec === "" ? "" : ` ${task.spec}`}`

const text = ({ connection, lastRun, tasks, totals }: State, now: DateTime.Utc, style: Style): string => {
  const state = Documents.stateOf(connection, now)
  const name = Text.shellWord(connection.name)
  const colour = state === "paused" || state === "disconnected" ? style.warn : style.good
  const waiting = totals.failed + totals.dead + totals.deferred
  return [
    `${style.bold(Text.oneLine(connection.name))} ${colour(state)}`,
    Text.fields([
      ["  source", `${connection.domain}, ${Text.oneLine(connection.account)}`],
      ...(connection.paused === null
        ? [["  next poll", Text.upcoming(connection.nextPollAt, now)] as const]
        : [["  paused", Text.oneLine(connection.paused)] as const]),
      ...(state === "running" && connection.lease !== null
        ? [["  run by", Text.oneLine(connection.lease.holder)] as const]
        : []),
      [
        "  last run",
        lastRun === undefined
          ? "none yet"
          : `${lastRun.status}${lastRun.error === null ? "" : ` (${Text.short(lastRun.error.message, 200)})`}, ${Text.moment(lastRun.startedAt, now)}`
      ],
      ...(connection.failures === 0
        ? []
        : [["  failing", `${Text.many(connection.failures, "run")} in a row`] as const]),
      ["  stored", `${Text.count(totals.stored)}, ${Text.bytes(totals.bytes)}`],
      [
        "  not stored",
        waiting === 0
          ? "nothing"
          : `${Text.count(totals.failed)} failed, ${Text.count(totals.dead)} given up, ${Text.count(totals.deferred)} deferred: idem failures ${name}`
      ],
      ...(totals.deleted === 0 ? [] : [["  deleted", Text.count(totals.deleted)] as const]),
      ...(totals.deletionsHeld === 0
        ? []
        : [["  held back", `${Text.many(totals.deletionsHeld, "deletion")}: idem deletions ${name}`] as const]),
      ...tasks.map((task) => ["  unfinished", `${Text.oneLine(resumes(connection, task))}`] as const)
    ])
  ].join("\n")
}

export const status = Command.make(
  "status",
  { connection: Input.connection.pipe(Argument.optional) },
  Effect.fn("status")(function* (input) {
    const output = yield* Output
    const states = yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const list = Option.isSome(input.connection)
          ? [yield* Services.connectionNamed(input.connection.value)]
          : yield* store.connections
        return yield* Effect.forEach(list, stateOf)
      })
    )
    const now = yield* DateTime.now
    yield* output.answer(
      {
        connections: states.map(({ connection, lastRun, tasks, totals }) => ({
          ...Documents.connection(connection, now),
          totals: { ...totals },
          ledger: totals.failed + totals.dead + totals.deferred,
          lastRun: lastRun === undefined ? null : Documents.run(lastRun),
          unfinished: tasks.map((task) => ({
            task: task.id,
            createdAt: Documents.time(task.createdAt),
            resume: resumes(connection, task)
          }))
        }))
      },
      () =>
        states.length === 0
          ? "there are no connections yet: idem connect --help"
          : states.map((state) => text(state, now, output.style)).join("\n\n")
    )
  })
).pipe(Command.withDescription("Show how connections are: state, last run, next poll, failures"))

export const runs = Command.make(
  "runs",
  { connection: Input.connection, limit: Input.limit(1000, 20) },
  Effect.fn("runs")(function* ({ connection: name, limit }) {
    const output = yield* Output
    const list = yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const connection = yield* Services.connectionNamed(name)
        return yield* store.runs(connection.id, limit)
      })
    )
    const now = yield* DateTime.now
    yield* output.answer({ runs: list.map(Documents.run) }, () =>
      list.length === 0
        ? `${Text.oneLine(name)} has not run yet: idem sync ${Text.shellWord(name)}`
        : Text.table(
            ["STARTED", "TOOK", "STATUS", "LISTED", "STORED", "UPDATED", "FAILED", "CALLS", "ERROR"],
            list.map((run) => [
              Text.moment(run.startedAt, now),
              run.finishedAt === null ? "" : Text.about(DateTime.distance(run.startedAt, run.finishedAt)),
              run.status,
              Text.count(run.counts.listed),
              Text.count(run.counts.stored),
              Text.count(run.counts.updated),
              Text.count(run.counts.failed),
              Text.count(run.counts.apiCalls),
              run.error === null ? "" : Text.short(run.error.message, 100)
            ]),
            { right: ["LISTED", "STORED", "UPDATED", "FAILED", "CALLS"], style: output.style.bold }
          )
    )
  })
).pipe(Command.withDescription("Show a connection's runs, newest first"))
