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
    login: Arguments.flag("login", "make the role if there is none, give it a new password, and print its URL")
  },
  Effect.fn("grant")(function* ({ login, role }) {
    yield* RemoteServer.refuse("grant")
    if (!isRole(role))
      return yield* CommandFailure.usage("a role is letters, digits, _ and -, and begins with no digit")
    const output = yield* Output
    const services = yield* AppServices
    const { created, url } = yield* services.grant(role, { login })
    yield* output.answer({ granted: role, created, url: url ?? null }, () =>
      [
        `${output.style.good(created ? "made" : "granted")}: ${role} may read the schema mirror`,
        ...(url === undefined ? [] : [url, "The password is shown only now; the same command gives a new one."])
      ].join("\n")
    )
  })
).pipe(
  Command.withDescription("Let a role of the database read the schema mirror, and nothing else"),
  Command.withExamples([
    { command: "idem grant metabase --login", description: "A role with a password, and the URL to connect with" }
  ])
)
