/** `idem rekey`: changes the key that credentials and other secrets are sealed with. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import { AppServices } from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

export const rekey = Command.make(
  "rekey",
  {},
  Effect.fn("rekey")(function* () {
    yield* RemoteServer.refuse("rekey")
    const output = yield* Output
    const services = yield* AppServices
    const { kept, key, locked, resealed, retired } = yield* services.rekey
    yield* output.answer(
      { rekeyed: { key, resealed, retired: [...retired], locked: [...locked], kept: [...kept] } },
      () =>
        [
          `${output.style.good("rekeyed")}: ${TextFormat.many(resealed, "secret")} sealed again, with the key ${key}`,
          ...retired.map((id) => `nothing uses the key ${id} any more; only older backups need it`),
          ...kept.map(
            (path) => `the former key is kept in ${TextFormat.oneLine(path)}: keep it as long as those backups`
          ),
          ...locked.map((name) =>
            output.style.warn(`${TextFormat.oneLine(name)} is sealed with a key that this process does not have`)
          )
        ].join("\n")
    )
    if (locked.length > 0) return yield* new CommandFailure.Ended({ code: CommandFailure.exitCode.partial })
  })
).pipe(
  Command.withDescription("Change the key that secrets are sealed with"),
  Command.withExamples([
    { command: "idem rekey", description: "A new key for Idem's own database, beside its data" },
    {
      command: "IDEM_SECRET_KEY=… IDEM_SECRET_KEY_OLD=… idem rekey",
      description: "From the old key to the new one, in another PostgreSQL"
    }
  ])
)
