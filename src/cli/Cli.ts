/** The command line: all commands, how arguments are parsed, and how the process reports and ends. */
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Path from "effect/Path"
import type * as Runtime from "effect/Runtime"
import * as Stdio from "effect/Stdio"
import packageJson from "../../package.json" with { type: "json" }
import { Integrations } from "../engine/source/Integrations.ts"
import * as Arguments from "./Arguments.ts"
import { connect } from "./Connect.ts"
import { connections, disconnect, pause, resume } from "./Connections.ts"
import { contents, show } from "./Contents.ts"
import { doctor } from "./Doctor.ts"
import { exportContents } from "./Export.ts"
import { copy } from "./Copy.ts"
import { deletions, purge } from "./Deletions.ts"
import { derive } from "./Derive.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { failures } from "./Failures.ts"
import * as Logging from "./Logging.ts"
import { grant, migrate, rekey } from "./Database.ts"
import { init } from "./Init.ts"
import { mcp } from "./Mcp.ts"
import { Output } from "./Output.ts"
import { serve } from "./Serve.ts"
import { sql } from "./Sql.ts"
import { runs, status } from "./Status.ts"
import { search } from "./Search.ts"
import { retry, sync } from "./Sync.ts"
import { tokens } from "./Tokens.ts"
import { webhooks } from "./Webhooks.ts"
import type { AppServices } from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"
import * as UsageErrors from "./UsageErrors.ts"

// Its value is read before parsing (`wantsJson`), because parse errors are printed as JSON too.
const json = GlobalFlag.Setting("json")({ flag: Arguments.flag("json", "print one JSON document on stdout") })

const idem = Command.make("idem").pipe(
  Command.withDescription("Mirrors emails, messages and files into a database: running it twice changes nothing."),
  Command.withGlobalFlags([json]),
  Command.withSubcommands([
    { group: "Connections", commands: [connect, connections, pause, resume, disconnect] },
    { group: "Syncing", commands: [serve, sync, status, runs] },
    { group: "What is stored", commands: [search, contents, show, exportContents, sql, mcp] },
    { group: "What needs you", commands: [doctor, failures, retry, deletions, purge] },
    { group: "Changes", commands: [webhooks] },
    { group: "Your own sources", commands: [init] },
    { group: "The database", commands: [derive, grant, tokens, migrate, copy, rekey] }
  ])
)

/** Commands whose operands may begin with `-`: external ids, and queries that exclude a word. */
const takesDashed = new Set(["show", "retry", "deletions", "search"])

/**
 * Returns true for a word that begins with a dash but is not one of our flags: the parser would read one dash as
 * several flags, including `-h`. Flag names have no white space, so a text such as an SQL query is not a flag either.
 */
const isDashed = (arg: string): boolean =>
  (/^-[^-]/.test(arg) && arg !== "-h" && arg !== "-v") || /^-[^\s=]*\s/.test(arg)

const takesValue = (arg: string | undefined, command?: string): boolean =>
  arg !== undefined && /^--[^\s=]+$/.test(arg) && !Arguments.isSwitch(arg, command) && arg !== "--help"

const commandOf = (args: ReadonlyArray<string>): string =>
  args.find((arg, index) => !arg.startsWith("-") && !takesValue(args[index - 1])) ?? ""

const beforeOperands = (args: ReadonlyArray<string>): number => {
  const end = args.indexOf("--")
  return end === -1 ? args.length : end
}

/**
 * Rewrites the words for the parser: flags without a value get `=true`, `help sync` becomes `sync --help`, a value that
 * begins with `-` is joined to its flag, and operands that begin with `-` follow `--`.
 */
const normalize = (given: ReadonlyArray<string>): ReadonlyArray<string> => {
  const args = given[0] === "help" ? [...given.slice(1), "--help"] : given
  const end = beforeOperands(args)
  const command = commandOf(args)
  const flags: Array<string> = []
  const dashed: Array<string> = []
  for (const [index, arg] of args.slice(0, end).entries()) {
    const before = args[index - 1]
    if (Arguments.isSwitch(arg, command)) flags.push(`${arg}=true`)
    else if (isDashed(arg) && takesValue(before, command)) flags.push(`${flags.pop()}=${arg}`)
    else if (isDashed(arg) && (takesDashed.has(command) || /\s/.test(arg))) dashed.push(arg)
    else flags.push(arg)
  }
  const operands = [...dashed, ...args.slice(end + 1)]
  return end === args.length && operands.length === 0 ? flags : [...flags, "--", ...operands]
}

/** Returns a short flag that no command has; undefined if there is none. */
const unknownShortFlag = (args: ReadonlyArray<string>): string | undefined =>
  args.slice(0, beforeOperands(args)).find(isDashed)

const wantsJson = (normalized: ReadonlyArray<string>): boolean =>
  normalized.slice(0, beforeOperands(normalized)).includes("--json=true")

const defect = (cause: Cause.Cause<unknown>): CommandFailure.Failure => {
  const squashed = Cause.squash(cause)
  // Some settings are read in effects that can't fail, so their errors are defects.
  if (squashed instanceof Config.ConfigError) return CommandFailure.fromError(squashed)
  const message = squashed instanceof Error ? squashed.message : String(squashed)
  return CommandFailure.failed(
    "Defect",
    `unexpected error: ${TextFormat.short(message, 300)}; to report it, add the stack that IDEM_DEBUG=1 shows`
  )
}

/** Loaded on demand: only help is wrapped. */
const help = Effect.promise(() => import("./Help.ts"))

/** Prints help and the version on stdout. `run` reports errors. */
const presenter = (isHelpRequested: boolean) =>
  Layer.effect(
    CliOutput.Presenter,
    Effect.map(Output, (output) => ({
      present: Effect.fnUntraced(function* (event: CliOutput.Presenter.Event) {
        if (event._tag === "InvalidInvocation") return
        // `idem --json` prints one document, the error.
        if (event._tag === "Help" && output.json && !isHelpRequested) return
        const text =
          event._tag === "Help"
            ? (yield* help).text(event.helpDoc, output)
            : (yield* CliOutput.Formatter).formatVersion(event.name, event.version)
        yield* Effect.ignore(output.print(text))
      })
    }))
  )

/** Commands that send telemetry, if `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector. */
const tracedCommands = new Set(["serve", "sync", "retry"])

/** Without a collector no spans are created. */
const telemetry = (args: ReadonlyArray<string>) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const off = Layer.succeed(References.TracerEnabled, false)
      if (!tracedCommands.has(commandOf(args))) return off
      const { isAsked, layer } = yield* Effect.promise(() => import("./Telemetry.ts"))
      return (yield* isAsked) ? layer : off
    })
  )

const wantsHelp = (normalized: ReadonlyArray<string>): boolean =>
  normalized.some((arg) => arg === "--help" || arg === "-h")

/** Returns the source about which `idem connect DOMAIN --help` asks. */
const helpDomain = (given: ReadonlyArray<string>): string | undefined => {
  const args = normalize(given)
  const [command, domain] = args.filter((arg, index) => !arg.startsWith("-") && !takesValue(args[index - 1]))
  return wantsHelp(args) && command === "connect" ? domain : undefined
}

/** Prints the description of the source, after the help of the command. */
const sourceHelp = Effect.fnUntraced(function* (domain: string) {
  const integrations = yield* Integrations
  const output = yield* Output
  const integration = yield* Effect.mapError(integrations.get(domain), ({ message }) => CommandFailure.usage(message))
  const { text } = yield* Effect.promise(() => import("./ConnectHelp.ts"))
  yield* output.print((yield* help).wrapped(text(integration, output.style), output.columns))
})

/** The services of commands. They are not built for help, the version and wrong usage. */
type App = Layer.Layer<AppServices | Integrations, never, FileSystem.FileSystem | Path.Path>

const withApp = (app: App) => Command.provide(idem, app)

/** Runs one command line. It reports a failure itself, and then fails with `Ended`, which has the exit code. */
const run = Effect.fnUntraced(
  function* <R>(
    given: ReadonlyArray<string>,
    command: ReturnType<typeof withApp>,
    moreHelp: Effect.Effect<void, CommandFailure.Failure | CommandFailure.OutputClosed, R | Output>
  ) {
    const args = normalize(given)
    const isJson = wantsJson(args)
    const debug = yield* Effect.orElseSucceed(Config.String("IDEM_DEBUG"), () => "")
    const isDebug = debug !== "" || /--log-level[= ](debug|trace|all)/.test(args.join(" "))

    const end = Effect.fnUntraced(function* (failure: CommandFailure.Failure) {
      const output = yield* Output
      yield* output.failure(failure)
      return yield* new CommandFailure.Ended({ code: failure.code })
    })

    const stray = unknownShortFlag(args)
    if (stray !== undefined) {
      const named = UsageErrors.mayHoldSecrets(args) ? " of that name" : ` ${TextFormat.short(stray)}`
      return yield* Effect.provide(
        end(
          CommandFailure.usage(`there is no flag${named} (idem ${commandOf(args)} --help)`.replace("idem  ", "idem "))
        ),
        Output.layer({ json: isJson })
      )
    }
    yield* Command.runWith(command, { version: packageJson.version })(args).pipe(
      Effect.andThen(moreHelp),
      Effect.provide(telemetry(args)),
      Effect.catchCauseIf(
        (cause) => !Cause.hasInterruptsOnly(cause),
        (cause) => {
          const error = Cause.findErrorOption(cause)
          const told = isDebug ? Output.use((output) => output.note(Cause.pretty(cause))) : Effect.void
          if (Option.isNone(error)) return Effect.andThen(told, end(defect(cause)))
          if (error.value instanceof CommandFailure.OutputClosed) return Effect.void
          if (error.value instanceof CommandFailure.Ended) return Effect.fail(error.value)
          if (CliError.isCliError(error.value)) {
            const help = error.value._tag === "ShowHelp" ? error.value : undefined
            // `idem` alone prints the help, which has been shown.
            if (help !== undefined && help.errors.length === 0 && !isJson) return Effect.void
            return end(help === undefined ? CommandFailure.usage(error.value.message) : UsageErrors.usageOf(help, args))
          }
          return Effect.andThen(told, end(CommandFailure.fromError(error.value)))
        }
      ),
      Effect.provide(Layer.provideMerge(presenter(wantsHelp(args)), Output.layer({ json: isJson })))
    )
  },
  Effect.provide([
    Logging.layer,
    CliConfig.layer({ builtIns: GlobalFlag.BuiltIns.filter((flag) => flag !== GlobalFlag.Wizard) })
  ])
)

/** The command line of this process. */
export const main = (app: App) =>
  Stdio.Stdio.use((stdio) =>
    Effect.flatMap(stdio.args, (args) => {
      const domain = helpDomain(args)
      // The services are built only for the help of a source.
      return run(args, withApp(app), domain === undefined ? Effect.void : Effect.provide(sourceHelp(domain), app))
    })
  )

/** Returns the exit code. A `serve` that was stopped by a signal has not failed. */
export const teardown =
  (args: ReadonlyArray<string>): Runtime.Teardown =>
  (exit, onExit) => {
    if (Exit.isSuccess(exit)) return onExit(0)
    if (Cause.hasInterruptsOnly(exit.cause)) {
      return onExit(commandOf(args) === "serve" ? 0 : 130)
    }
    const error = Cause.squash(exit.cause)
    onExit(error instanceof CommandFailure.Ended ? error.code : 1)
  }
