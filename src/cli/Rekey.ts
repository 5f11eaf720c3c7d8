/** `idem rekey`: changes the key that credentials and other secrets are sealed with. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Failure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as Server from "./RemoteServer.ts"
import { Services } from "./AppServices.ts"
import * as Text from "./TextFormat.ts"

export const rekey = Command.make(
  "rekey",
  {},
  Effect.fn("rekey")(function* () {
    yield* Server.refuse("rekey")
    const output = yield* Output
    const services = yield* Services
    const { key, locked, resealed, retired } = yield* services.rekey
    yield* output.answer({ rekeyed: { key, resealed, retired: [...retired], locked: [...locked] } }, () =>
      [
        `${output.style.good("rekeyed")}: ${Text.many(resealed, "secret")} sealed afresh, all with the key ${key} now`,
        ...retired.map(
          (id) => `nothing is sealed with the key ${id} any more, nor can be: backups from before need it`
        ),
        ...locked.map((name) => output.style.warn(`${Text.oneLine(name)} is sealed with a key that is not here`))
      ].join("\n")
    )
    if (locked.length > 0) return yield* new Failure.Ended({ code: Failure.exitCode.partial })
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
