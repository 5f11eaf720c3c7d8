/** Socket Mode, with Slack's own client library and a stand-in for the server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Hint } from "../../../src/contract/Hints.ts"
import type { Network } from "../../../src/contract/Network.ts"
import { direct } from "../../../src/contract/Network.ts"
import { Forbidden, IntegrationError } from "../../../src/contract/IntegrationError.ts"
import * as Slack from "../../../src/integrations/Slack.ts"
import { turn } from "../../support/Moving.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import * as SocketMode from "../../support/slack/SocketMode.ts"

/** The stream of hints of a connection. */
const streamOf = Effect.fnUntraced(function* (url: string, appToken: string | undefined, network: Network = direct) {
  const hints = Slack.integration.hints
  if (hints === undefined) return yield* Effect.die("no hints")
  return yield* hints({
    config: { slackApiUrl: url },
    credentials: { token: "xoxb-1", ...(appToken === undefined ? {} : { appToken }) },
    call: (_method, _units, effect) => effect,
    network,
    saveCredentials: () => Effect.void
  })
})

/** A running stream; `hints` has the received hints. */
const listening = Effect.gen(function* () {
  const server = yield* SlackServer.make()
  const mode = yield* SocketMode.make(server)
  const hints = yield* Queue.unbounded<Hint>()
  const stream = Option.getOrThrow(yield* streamOf(mode.url, SocketMode.appToken))
  const fiber = yield* Effect.forkScoped(Effect.flip(Stream.runForEach(stream, (hint) => Queue.offer(hints, hint))))
  assert.deepStrictEqual(yield* Queue.take(hints), {})
  return { server, mode, hints, fiber }
})

describe("Socket Mode", () => {
  it.live("gives a hint for each event, acknowledged, and for an event that comes twice another one", () =>
    Effect.gen(function* () {
      const { hints, mode, server } = yield* listening
      const channel = server.workspace.addChannel("general")
      assert.deepStrictEqual(yield* Queue.take(hints), { account: "T00000001", part: "channels" })
      mode.copies = 2
      server.workspace.post(channel, "hello")
      for (let copy = 0; copy < 2; copy += 1) {
        assert.deepStrictEqual(yield* Queue.take(hints), { account: "T00000001", part: channel })
      }
      yield* Effect.repeat(turn, { until: () => mode.acknowledged.length === 3 })
      assert.deepStrictEqual(mode.acknowledged, ["envelope-1", "envelope-2", "envelope-3"])
    }).pipe(Effect.scoped)
  )

  it.live("ends with the socket, by Slack's wish or without it", () =>
    Effect.gen(function* () {
      for (const end of [
        (mode: SocketMode.SocketMode) => mode.refresh(),
        (mode: SocketMode.SocketMode) => {
          for (const socket of mode.sockets) socket.terminate()
        }
      ]) {
        const { fiber, mode } = yield* listening
        end(mode)
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason._tag, "Transient")
      }
    }).pipe(Effect.scoped)
  )

  it.live("lives through messages that it can't read", () =>
    Effect.gen(function* () {
      const { hints, mode, server } = yield* listening
      for (const text of [
        "",
        "not JSON",
        "null",
        "{}",
        '{"type":"events_api"}',
        '{"type":"events_api","payload":{}}'
      ]) {
        mode.raw(text)
      }
      const channel = server.workspace.addChannel("general")
      assert.deepStrictEqual(yield* Queue.take(hints), { account: "T00000001", part: "channels" })
      assert.isDefined(channel)
    }).pipe(Effect.scoped)
  )

  it.live("closes its socket with its scope", () =>
    Effect.gen(function* () {
      const { fiber, mode } = yield* listening
      const [socket] = mode.sockets
      const closed = Effect.callback<void>((resume) => void socket?.once("close", () => resume(Effect.void)))
      yield* Effect.all([closed, Fiber.interrupt(fiber)], { concurrency: 2 })
      assert.strictEqual(mode.sockets.size, 0)
    }).pipe(Effect.scoped)
  )

  it.live("says which refusal it was, never the token, and connects nowhere that the network does not allow", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make()
      const mode = yield* SocketMode.make(server)
      const failure = (token: string, network?: Network) =>
        Effect.flatMap(streamOf(mode.url, token, network), (stream) =>
          Effect.flip(Stream.runDrain(Option.getOrThrow(stream)))
        )
      const wrong = yield* failure("xapp-wrong-token")
      assert.strictEqual(wrong.reason._tag, "Unauthorized")
      assert.notInclude(JSON.stringify(wrong), "xapp-wrong-token")
      mode.refuse = "internal_error"
      assert.strictEqual((yield* failure(SocketMode.appToken)).reason._tag, "Transient")
      mode.refuse = undefined
      const guarded: Network = {
        ...direct,
        addressOf: () => Effect.fail(new IntegrationError({ reason: new Forbidden({ message: "not there" }) }))
      }
      yield* failure(SocketMode.appToken, guarded)
      assert.strictEqual(mode.opened(), 0)
    }).pipe(Effect.scoped)
  )

  it.live("is there only for credentials with an app token", () =>
    Effect.gen(function* () {
      assert.isTrue(Option.isNone(yield* streamOf("http://127.0.0.1:1/api/", undefined)))
    })
  )
})
