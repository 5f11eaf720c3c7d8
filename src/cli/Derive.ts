/** `idem derive`: brings the schema `mirror` up to date, or derives it again. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Deriver } from "../derive/Deriver.ts"
import * as Arguments from "./Arguments.ts"
import * as AppServices from "./AppServices.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import * as TextFormat from "./TextFormat.ts"

/** How often a running follower is asked for its progress. */
const look = Duration.millis(200)

/**
 * Derives in this process, or waits for the process that follows the feed. Returns the number of changes derived here.
 */
const catchUp = Effect.gen(function* () {
  const deriver = yield* Deriver
  let changes = 0
  const isDone = Effect.gen(function* () {
    const done = yield* deriver.catchUp
    changes += done.changes
    if (!done.followed) return true
    const { behind, rebuilding, unindexed, unread } = yield* deriver.lag()
    return behind + unread + unindexed === 0 && !rebuilding
  })
  yield* Effect.repeat(isDone, { until: (done) => done, schedule: Schedule.spaced(look) })
  return changes
})

export const derive = Command.make(
  "derive",
  {
    rebuild: Arguments.flag("rebuild", "derive all rows again; the present rows stay readable meanwhile"),
    connection: Arguments.connectionName("connection", "the connection of --language").pipe(Flag.optional),
    language: Flag.String("language").pipe(
      Flag.withDescription("the language of a connection's texts in search, or simple; indexes the connection again"),
      Flag.withMetavar("L"),
      Flag.optional
    )
  },
  Effect.fn("derive")(function* ({ connection, language, rebuild }) {
    yield* RemoteServer.refuse("derive")
    if (Option.isSome(connection) !== Option.isSome(language)) {
      return yield* CommandFailure.usage(
        "give --connection and --language together: idem derive --connection me --language german"
      )
    }
    yield* AppServices.domains
    const output = yield* Output
    const begun = yield* Clock.currentTimeMillis
    const { changes, lag } = yield* AppServices.provide(
      Effect.gen(function* () {
        const deriver = yield* Deriver
        if (rebuild) yield* deriver.rebuild
        if (Option.isSome(connection) && Option.isSome(language)) {
          yield* deriver.setLanguage(connection.value, language.value)
        }
        const changes = yield* catchUp
        return { changes, lag: yield* deriver.lag() }
      })
    )
    const durationMs = (yield* Clock.currentTimeMillis) - begun
    yield* output.answer({ derived: changes, rebuilt: rebuild, behind: lag.behind, durationMs }, () =>
      changes === 0
        ? "the schema mirror is up to date"
        : `${TextFormat.many(changes, "change")} derived in ${TextFormat.about(Duration.millis(durationMs))}`
    )
  })
).pipe(Command.withDescription("Bring the schema mirror up to date, or rebuild it"))
