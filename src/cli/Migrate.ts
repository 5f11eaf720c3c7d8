/** `idem migrate`: brings the database up to date. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import { AppServices } from "./AppServices.ts"

export const migrate = Command.make(
  "migrate",
  {
    newEpoch: Arguments.flag(
      "new-epoch",
      "make readers of the changes start again, after a restore that Idem can't detect, like a disk's snapshot"
    )
  },
  Effect.fn("migrate")(function* ({ newEpoch }) {
    const output = yield* Output
    yield* RemoteServer.refuse("migrate")
    const services = yield* AppServices
    const { after, before, begun, epoch } = yield* services.migrate({ newEpoch })
    const version =
      before === after
        ? `the database is up to date (version ${after})`
        : `the database went from version ${before} to ${after}`
    yield* output.answer({ before, after, epoch }, () =>
      begun ? `${version}; epoch ${epoch} begins: readers of the changes must start again` : version
    )
  })
).pipe(Command.withDescription("Bring the database up to date"))
