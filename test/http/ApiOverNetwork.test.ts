import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as RemoteApi from "../../src/http/client/RemoteApi.ts"
import * as Server from "../../src/http/Server.ts"
import { MemorySource } from "../support/MemorySource.ts"
import * as TestEngine from "../support/TestEngine.ts"
import { Scripted } from "./ApiFixture.ts"
import { scheduler, suite } from "./lawsOfApi.ts"

const token = "a-token-that-is-long-enough"
const source = new MemorySource()

const server = Server.layerConfig.pipe(
  Layer.provide(TestEngine.polling),
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { PORT: "0", IDEM_API_TOKEN: token } })))
)

const client = Layer.unwrap(
  Effect.map(Server.url, (url) => RemoteApi.layer({ url, token: Option.some(Redacted.make(token)), isPrivate: true }))
)

suite(
  "over the network",
  client.pipe(
    Layer.provide(server),
    Layer.provide(NodeHttpClient.layerNodeHttp),
    Layer.merge(Layer.succeed(Scripted, { source })),
    Layer.merge(scheduler),
    Layer.provide(TestEngine.layer(source)),
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
  )
)
