/** `idem serve`: the long-lived process. */
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Holder from "../engine/Holder.ts"
import { Store } from "../engine/Store.ts"
import { Output } from "./Output.ts"
import * as Server from "./Server.ts"
import * as Services from "./Services.ts"
import * as Shutdown from "./Shutdown.ts"
import * as Text from "./Text.ts"

/** Where it listens: `HOST` (127.0.0.1) and `PORT` (3000). */
const address = Config.all({
  host: Config.String("HOST").pipe(Config.withDefault("127.0.0.1")),
  port: Config.Port("PORT").pipe(Config.withDefault(3000))
})

export const serve = Command.make(
  "serve",
  {},
  Effect.fn("serve")(function* () {
    yield* Server.refuse("serve")
    const output = yield* Output
    const services = yield* Services.Services
    const { host, port } = yield* address
    const many = yield* Services.many
    yield* Shutdown.timeout
    const holder = yield* Holder.self
    yield* Services.domains
    const work = Effect.scoped(
      Effect.gen(function* () {
        const store = yield* Store
        yield* Layer.build(services.poller)
        const paused = (yield* store.connections).filter((connection) => connection.paused !== null).length
        const polled = (yield* store.connections).length - paused
        yield* output.answer(
          { serving: { process: holder, host, port, cluster: many, connections: polled, paused } },
          () =>
            [
              `${output.style.good("serving")} as ${holder}`,
              `  polling ${many ? "its share of " : ""}${Text.many(polled, "connection")}${paused === 0 ? "" : `, ${paused} paused`}; Ctrl-C stops it`
            ].join("\n")
        )
        return yield* Effect.never
      })
    ).pipe(Services.provide)
    // A service says what it does; other commands only what went wrong.
    const asked = yield* GlobalFlag.LogLevel
    yield* Option.isSome(asked) ? work : Effect.provideService(work, References.MinimumLogLevel, "Info")
  })
).pipe(Command.withDescription("Poll the connections until stopped"))
