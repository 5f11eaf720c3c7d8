/** Webhooks over a store in memory, endpoints that record their requests, and a clock that is moved in steps. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Etag from "effect/http/Etag"
import * as HttpPlatform from "effect/http/HttpPlatform"
import * as HttpApiTest from "effect/http-api/HttpApiTest"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { createHmac } from "node:crypto"
import * as Feed from "../../../src/engine/feed/Feed.ts"
import * as UnsealedVault from "../../../src/testing/UnsealedVault.ts"
import * as Destination from "../../../src/engine/webhooks/Destination.ts"
import * as Dispatcher from "../../../src/engine/webhooks/Dispatcher.ts"
import { type Answer, SendError, Sender } from "../../../src/engine/webhooks/Sender.ts"
import { Api } from "../../../src/http/Api.ts"
import * as RequestErrors from "../../../src/http/RequestErrors.ts"
import * as Authenticated from "../../../src/http/security/Authenticated.ts"
import * as WebhookHandlers from "../../../src/http/webhooks/WebhookHandlers.ts"
import * as Memory from "../../../src/stores/Memory.ts"

export const url = "https://hooks.example/a"

export const other = "https://hooks.example/b"

interface Sent {
  readonly url: string
  readonly id: string
  readonly at: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Endpoints that record their requests. */
class Endpoints {
  readonly sent: Array<Sent> = []
  answer: (request: Sent) => Effect.Effect<number | Answer, SendError> = () => Effect.succeed(204)

  readonly layer = Layer.succeed(
    Sender,
    Sender.of({
      post: ({ body, headers, url }) =>
        Effect.gen({ self: this }, function* () {
          const request = { url, id: headers["webhook-id"] ?? "", at: yield* Clock.currentTimeMillis, headers, body }
          this.sent.push(request)
          const answer = yield* this.answer(request)
          return typeof answer === "number" ? { status: answer, retryAfter: undefined, text: null } : answer
        })
    })
  )

  to(url: string): ReadonlyArray<Sent> {
    return this.sent.filter((one) => one.url === url)
  }
}

const address = Effect.runSync(Effect.fromResult(NetAddress.ipv4FromString("93.184.216.34")))

const zone = Dns.layerStatic({ records: { "hooks.example": [Dns.makeRecordUnsafe("A", { address })] } })

const api = HttpApiTest.groups(Api, ["webhooks"])

type Client = Effect.Success<typeof api>["webhooks"]

/** The API's webhooks, called in process. */
export class Webhooks extends Context.Service<Webhooks, Client>()("test/engine/webhooks/Webhooks") {
  static readonly layer = Layer.effect(
    Webhooks,
    Effect.map(api, ({ webhooks }) => webhooks)
  ).pipe(
    Layer.provide(WebhookHandlers.layer),
    Layer.provide([RequestErrors.layer, Authenticated.layer, HttpPlatform.layer]),
    Layer.provide([Etag.layerWeak, NodeServices.layer])
  )
}

/** Makes a request about this webhook. */
export const at = (webhook: string) => ({ params: { webhook } })

const layer = (endpoints: Endpoints) =>
  Layer.mergeAll(Webhooks.layer, Feed.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(Memory.layer, UnsealedVault.layer, endpoints.layer)),
    Layer.provide(Destination.layer),
    Layer.provide(zone),
    Layer.orDie
  )

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Moves the clock in steps until the condition holds. */
export const until = (condition: () => boolean, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    for (let steps = 0; steps < 20_000; steps += 1) {
      if (condition()) return
      yield* TestClock.adjust(step)
      yield* turn
    }
    return yield* Effect.die(new Error("it never came to be"))
  })

/** Lets this much time pass in steps. */
export const pass = (by: Duration.Input, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(by))
    while ((yield* Clock.currentTimeMillis) < end) {
      yield* TestClock.adjust(step)
      yield* turn
    }
  })

export const test = <A, E>(
  name: string,
  body: (endpoints: Endpoints) => Effect.Effect<A, E, Layer.Success<ReturnType<typeof layer>>>
) =>
  it.effect(name, () => {
    const endpoints = new Endpoints()
    return body(endpoints).pipe(Effect.provide(layer(endpoints)))
  })

/** Starts a process that delivers until it is interrupted. */
export const dispatcher = Effect.forkChild(Dispatcher.run)

export const create = (input: Partial<Parameters<Client["create"]>[0]["payload"]> = {}) =>
  Webhooks.use((webhooks) =>
    Effect.map(webhooks.create({ payload: { url, from: "beginning", ...input } }), ({ secret, ...webhook }) => ({
      webhook,
      secret: Redacted.make(secret)
    }))
  )

/** Returns the ids and kinds of changes in a message. */
export const changesIn = ({ body }: Sent): ReadonlyArray<string> => {
  const { data } = JSON.parse(body) as {
    readonly data: {
      readonly changes: ReadonlyArray<{ readonly change: string; readonly content: { readonly externalId: string } }>
    }
  }
  return data.changes.map(({ change, content }) => `${content.externalId} ${change}`)
}

/** Computes the signature of a message with Node's HMAC, independently of the code under test. */
export const signed = ({ body, headers }: Sent, secret: Redacted.Redacted): string => {
  const key = Buffer.from(Redacted.value(secret).slice("whsec_".length), "base64")
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`
  return `v1,${createHmac("sha256", key).update(content).digest("base64")}`
}

export const messages = (id: string, state?: "pending" | "delivered" | "dead") =>
  Webhooks.use((webhooks) =>
    Effect.map(
      webhooks.messages({ ...at(id), query: { limit: 100, ...(state === undefined ? {} : { state }) } }),
      (page) => page.messages
    )
  )

export const minutes = (count: number) => count * 60_000
