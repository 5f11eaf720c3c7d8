/** `idem grant`: allows a role of the database to read the schema `mirror`, and nothing else. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Arguments from "./Arguments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import { AppServices } from "./AppServices.ts"

const isRole = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(name) && !/^pg_/i.test(name)

export const grant = Command.make(
  "grant",
  {
    role: Argument.String("role").pipe(Argument.withDescription("a role of the database")),
    login: Arguments.flag("login", "create the role if it does not exist, set a new password, and print the URL")
  },
  Effect.fn("grant")(function* ({ login, role }) {
    yield* RemoteServer.refuse("grant")
    if (!isRole(role))
      return yield* CommandFailure.usage("a role's name has letters, digits, _ and -, and does not begin with a digit")
    const output = yield* Output
    const services = yield* AppServices
    const { created, url } = yield* services.grant(role, { login })
    yield* output.answer({ granted: role, created, url: url ?? null }, () =>
      [
        `${output.style.good(created ? "made" : "granted")}: ${role} may read the schema mirror`,
        ...(url === undefined ? [] : [url, "The password is shown only now. The same command sets a new one."])
      ].join("\n")
    )
  })
).pipe(
  Command.withDescription("Let a role of the database read the schema mirror, and nothing else"),
  Command.withExamples([
    { command: "idem grant metabase --login", description: "A role with a password, and the URL to connect with" }
  ])
)
