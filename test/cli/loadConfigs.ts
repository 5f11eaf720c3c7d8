/** Loads the config files in its arguments, all in one process, and prints the result of each as a line of JSON. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as ConfigFile from "../../src/cli/ConfigFile.ts"

const said = (file: string) =>
  ConfigFile.load.pipe(
    Effect.match({ onFailure: ({ message }) => message, onSuccess: () => "nothing is wrong" }),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: { IDEM_CONFIG: file } })),
    Effect.map((message) => console.log(JSON.stringify(message)))
  )

await Effect.runPromise(
  Effect.provide(Effect.forEach(process.argv.slice(2), said, { discard: true }), NodeServices.layer)
)
