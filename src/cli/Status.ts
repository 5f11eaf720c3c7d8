/** `idem status` and `idem runs`: the state of connections, and the results of their runs. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { pausedByPerson } from "../engine/model/Connection.ts"
import * as Documents from "../http/connections/ConnectionDocuments.ts"
import { Run } from "../http/tasks/TaskDocuments.ts"
import type { Lag } from "../http/mirror/MirrorEndpoints.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Arguments from "./Arguments.ts"
import { Output, type Style } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const encodeRuns = Schema.encodeSync(Schema.Array(Run))
const encodeStatus = Schema.encodeSync(Documents.Status)

/** Returns the command that resumes an unfinished task. The task's spec has its flags. */
const resumes = (name: string, spec: string): string =>
  `idem sync ${TextFormat.shellWord(name)}${spec === "" ? "" : ` ${spec}`}`

const document = (status: Documents.Status): Schema.JsonObject => {
  const encoded = encodeStatus(status)
  return {
    ...encoded,
    unfinished: encoded.unfinished.map(({ createdAt, spec, task }) => ({
      task,
      createdAt,
      resume: resumes(status.name, spec)
    }))
  }
}

/** Returns the next step for a connection that a run has paused: its credentials are refused, or can't be unsealed. */
export const nextStep = ({ domain, lastRun, name }: Documents.Status): string => {
  const word = TextFormat.shellWord(name)
  const connect = `idem connect ${domain} --name ${word} --credentials @FILE`
  if (lastRun?.error?.reason !== "Vault") return connect
  const setKey = "set IDEM_SECRET_KEY or IDEM_SECRET_KEY_OLD to the key of its credentials"
  return `${setKey}, then: idem resume ${word}; or: ${connect}`
}

/** The number of problems that are shown; the JSON has all of them. */
const problemsShown = 5

const text = (status: Documents.Status, now: DateTime.Utc, style: Style): string => {
  const { lastRun, ledger, leftOut, state, totals } = status
  const name = TextFormat.shellWord(status.name)
  const colour = state === "paused" || state === "disconnected" ? style.warn : style.good
  return [
    `${style.bold(TextFormat.oneLine(status.name))} ${colour(state)}`,
    TextFormat.fields([
      ["  source", `${status.domain}, ${TextFormat.oneLine(status.account)}`],
      ...(status.memberOf === null ? [] : [["  member of", TextFormat.oneLine(status.memberOf)] as const]),
      ...(status.members === null
        ? []
        : [
            [
              "  members",
              `${TextFormat.many(status.members.total, "connection")}, ${TextFormat.count(status.members.retired)} retired`
            ] as const
          ]),
      ...(status.nextPollAt === null
        ? [
            ["  paused", TextFormat.oneLine(status.paused ?? "")] as const,
            ...(state === "paused" && status.paused !== pausedByPerson && status.memberOf === null
              ? [["  next", nextStep(status)] as const]
              : [])
          ]
        : [["  next poll", TextFormat.upcoming(status.nextPollAt, now)] as const]),
      ...(status.askedToWaitUntil === null
        ? []
        : [
            [
              "  waiting",
              `the source asked to wait until ${TextFormat.upcoming(status.askedToWaitUntil, now)}`
            ] as const
          ]),
      [
        "  last check",
        status.lastCheckedAt === null ? "not checked yet" : TextFormat.moment(status.lastCheckedAt, now)
      ] as const,
      ...(status.holder === null ? [] : [["  run by", TextFormat.oneLine(status.holder)] as const]),
      [
        "  last run",
        lastRun === null
          ? "none yet"
          : `${lastRun.status}${lastRun.error === null ? "" : ` (${TextFormat.short(lastRun.error.message, 200)})`}, ${TextFormat.moment(lastRun.startedAt, now)}`
      ],
      ...status.problems
        .slice(0, problemsShown)
        .map(
          ({ message, place }) =>
            ["  problem", `${TextFormat.short(place, 80)}: ${TextFormat.short(message, 200)}`] as const
        ),
      ...(status.problems.length > problemsShown
        ? [
            [
              "  problem",
              `${TextFormat.count(status.problems.length - problemsShown)} more: idem status ${name} --json`
            ] as const
          ]
        : []),
      ...(status.failures === 0 ? [] : [["  failing", `${TextFormat.many(status.failures, "run")} in a row`] as const]),
      ["  stored", `${TextFormat.count(totals.stored)}, ${TextFormat.bytes(totals.bytes)}`],
      [
        "  ledger",
        ledger === 0
          ? "empty"
          : `${TextFormat.count(totals.failed)} failed, ${TextFormat.count(totals.dead)} dead, ${TextFormat.count(totals.deferred)} deferred: idem failures ${name}`
      ],
      ...leftOut.map((what) => ["  left out", TextFormat.oneLine(what)] as const),
      ...(totals.deleted === 0 ? [] : [["  deleted", TextFormat.count(totals.deleted)] as const]),
      ...(totals.deletionsHeld === 0
        ? []
        : [["  held back", `${TextFormat.many(totals.deletionsHeld, "deletion")}: idem deletions ${name}`] as const]),
      ...status.unfinished.map(({ spec }) => ["  unfinished", TextFormat.oneLine(resumes(status.name, spec))] as const)
    ])
  ].join("\n")
}

/** Formats a count that the server caps at 10,000. */
const atMost = (count: number, what: string): string =>
  count >= 10_000 ? `10,000 ${what}s or more` : TextFormat.many(count, what)

/** Transactions that are open for longer than this are reported. A commit takes less. */
const longTransactionSeconds = 60

/** Describes the transaction that the feed waits for, if it is open for long. */
const feedText = (mirror: Lag | null): ReadonlyArray<string> => {
  const holder = mirror?.feedHolder
  if (holder === null || holder === undefined || holder.seconds < longTransactionSeconds) return []
  const open = TextFormat.about(Duration.seconds(holder.seconds))
  return [
    `the feed of changes waits for ${TextFormat.feedHolder(holder)}, which has been open for ${open}: idem doctor`
  ]
}

/** Describes how far the schema mirror and search are behind, if they are. */
const mirrorText = (mirror: Lag | null): ReadonlyArray<string> => {
  if (mirror === null) return []
  const { behind, lagSeconds, rebuilding, unindexed, unread } = mirror
  const parts = [
    ...(behind === 0
      ? []
      : [`${atMost(behind, "change")} to derive, the oldest of ${TextFormat.about(Duration.seconds(lagSeconds))} ago`]),
    ...(unread === 0 ? [] : [`${atMost(unread, "text")} to extract`]),
    ...(unindexed === 0 ? [] : [`${atMost(unindexed, "content")} to index`])
  ]
  if (parts.length === 0) return []
  const next = rebuilding ? "it is being rebuilt" : "idem serve or idem derive updates it"
  return [`the schema mirror has ${parts.join(", ")}: ${next}`]
}

/** How many connections are read at the same time. */
const readAtOnce = 16

/** Returns the status of each connection. A connection that is removed meanwhile is left out. */
export const statuses = Effect.gen(function* () {
  const { connections } = yield* ApiClient
  const all = yield* connections.list({})
  const found = yield* Effect.forEach(
    all.connections,
    ({ id }) =>
      connections.get({ params: { connection: id } }).pipe(
        Effect.map((status) => [status]),
        Effect.catchTag("NotFoundProblem", () => Effect.succeed([]))
      ),
    { concurrency: readAtOnce }
  )
  return found.flat()
})

export const status = Command.make(
  "status",
  { connection: Arguments.connection.pipe(Argument.optional) },
  Effect.fn("status")(function* (input) {
    const output = yield* Output
    const asked = Option.getOrUndefined(input.connection)
    const { mirror, states } = yield* AppServices.ask(
      Effect.gen(function* () {
        const { connections, mirror } = yield* ApiClient
        // An older server does not have this operation.
        const lag = yield* Effect.orElseSucceed(mirror.lag({}), () => null)
        if (asked !== undefined) {
          return { states: [yield* connections.get({ params: { connection: asked } })], mirror: lag }
        }
        return { states: yield* statuses, mirror: lag }
      })
    )
    const now = yield* DateTime.now
    yield* output.answer({ connections: states.map(document), mirror }, () =>
      states.length === 0
        ? "there are no connections yet: idem connect --help"
        : [...states.map((state) => text(state, now, output.style)), ...mirrorText(mirror), ...feedText(mirror)].join(
            "\n\n"
          )
    )
  })
).pipe(Command.withDescription("Show the state of connections: last run, next poll, ledger"))

export const runs = Command.make(
  "runs",
  { connection: Arguments.connection, limit: Arguments.limit(1000, 20) },
  Effect.fn("runs")(function* ({ connection: name, limit }) {
    const output = yield* Output
    const { runs: list } = yield* AppServices.ask(
      ApiClient.use((api) => api.tasks.runs({ params: { connection: name }, query: { limit } }))
    )
    const table = yield* output.table
    yield* output.answer({ runs: encodeRuns(list) }, () =>
      list.length === 0
        ? `${TextFormat.oneLine(name)} has not run yet: idem sync ${TextFormat.shellWord(name)}`
        : table(
            ["STARTED (UTC)", "TOOK", "FOR", "STATUS", "LISTED", "STORED", "UPDATED", "FAILED", "CALLS", "ERROR"],
            list.map((run) => [
              TextFormat.minute(run.startedAt),
              run.finishedAt === null ? "" : TextFormat.about(DateTime.distance(run.startedAt, run.finishedAt)),
              run.kind ?? "",
              run.status,
              TextFormat.count(run.listed),
              TextFormat.count(run.stored),
              TextFormat.count(run.updated),
              TextFormat.count(run.failed),
              TextFormat.count(run.apiCalls),
              run.error === null ? "" : TextFormat.short(run.error.message, 100)
            ]),
            {
              right: ["LISTED", "STORED", "UPDATED", "FAILED", "CALLS"],
              cut: ["ERROR"],
              drop: ["CALLS", "UPDATED", "LISTED", "TOOK", "FOR"]
            }
          )
    )
  })
).pipe(Command.withDescription("Show a connection's runs, newest first"))
