/** `idem migrate`: brings the database up to date. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Output } from "./Output.ts"
import { Services } from "./Services.ts"

export const migrate = Command.make(
  "migrate",
  {},
  Effect.fn("migrate")(function* () {
    const output = yield* Output
    const services = yield* Services
    const { after, before } = yield* services.migrate
    yield* output.answer({ before, after }, () =>
      before === after
        ? `the database is up to date (version ${after})`
        : `the database went from version ${before} to ${after}`
    )
  })
).pipe(Command.withDescription("Bring the database up to date"))
