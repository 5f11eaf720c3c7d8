/** `idem serve`: the long-lived process. */
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as ProcessIdentity from "../engine/locks/ProcessIdentity.ts"
import { LeaseStore } from "../engine/store/LeaseStore.ts"
import { OverviewStore } from "../engine/store/OverviewStore.ts"
import { Settings } from "../http/ServerSettings.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const schemaCheckedEvery = Duration.seconds(5)

/** The states of paused connections. A connection is paused by its disconnection too. */
const pausedStates: ReadonlySet<string> = new Set(["paused", "disconnected"])

export const serve = Command.make(
  "serve",
  {},
  Effect.fnUntraced(function* () {
    yield* RemoteServer.refuse("serve")
    const output = yield* Output
    const services = yield* AppServices.AppServices
    const settings = yield* Layer.build(Settings.layer).pipe(Effect.scoped)
    const { host, token } = Context.get(settings, Settings)
    const many = yield* AppServices.many
    const holder = yield* ProcessIdentity.self
    yield* AppServices.domains
    const work = Effect.scoped(
      Effect.gen(function* () {
        const overviews = yield* OverviewStore
        const leases = yield* LeaseStore
        const server = yield* Layer.build(Layer.provide(services.server, services.poller))
        const { address } = Context.get(server, HttpServer.HttpServer)
        const url = HttpServer.formatAddress(address)
        const { connections } = yield* overviews.overview
        const count = (isPaused: boolean) =>
          connections.reduce((sum, { count, state }) => sum + (pausedStates.has(state) === isPaused ? count : 0), 0)
        const [polled, paused] = [count(false), count(true)]
        yield* output.answer(
          {
            serving: {
              process: holder,
              host,
              port: "port" in address ? address.port : null,
              url,
              cluster: many,
              connections: polled,
              paused
            }
          },
          () =>
            [
              `${output.style.good("serving")} as ${holder}`,
              `  at ${url}${token === undefined ? ", open to this machine" : ", with IDEM_API_TOKEN"}`,
              `  polling ${many ? "its share of " : ""}${TextFormat.many(polled, "connection")}${paused === 0 ? "" : `, ${paused} paused`}; Ctrl-C stops it`
            ].join("\n")
        )
        // This process ends when a newer version has migrated the database.
        return yield* leases.checkSchema.pipe(
          Effect.catchTag("StoreError", () => Effect.void),
          Effect.repeat(Schedule.spaced(schemaCheckedEvery)),
          Effect.andThen(Effect.never)
        )
      })
    ).pipe(AppServices.provide)
    // `serve` logs its activity; other commands log only warnings and errors.
    const asked = yield* GlobalFlag.LogLevel
    yield* Option.isSome(asked) ? work : Effect.provideService(work, References.MinimumLogLevel, "Info")
  })
).pipe(Command.withDescription("Poll the connections and serve the HTTP API and the dashboard, until stopped"))
