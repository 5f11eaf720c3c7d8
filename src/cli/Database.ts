/** Commands for a database: `idem migrate`, `idem grant` and `idem rekey`. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import { AppServices } from "./AppServices.ts"
import * as Argument from "effect/cli/Argument"
import * as CommandFailure from "./CommandFailure.ts"
import * as TextFormat from "./TextFormat.ts"

/** Brings the database up to date. */
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

const isRole = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(name) && !/^pg_/i.test(name)

/** Allows a role of the database to read the schema `mirror`, and nothing else. */
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

/** Changes the key that credentials and other secrets are sealed with. */
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
