/** Conversations as agents read them. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as AgentReads from "../../src/derive/AgentReads.ts"
import { messageContent } from "../../src/integrations/slack/Message.ts"
import { item, page, running, settle } from "../stores/scenario.ts"
import { derive, layer } from "./search/Scenario.ts"

interface Said {
  readonly ts: string
  readonly text: string
  readonly thread?: string
  readonly subtype?: string
}

/** Makes a message in the form of `conversations.history` and `conversations.replies`. */
const message = (channel: string, { subtype, text, thread, ts }: Said) => {
  const { body, metadata, occurredAt, title } = messageContent(channel, {
    type: "message",
    user: "U1",
    ts,
    text,
    ...(thread === undefined ? {} : { thread_ts: thread }),
    ...(subtype === undefined ? {} : { subtype })
  } as Parameters<typeof messageContent>[1])
  assert.isTrue(body instanceof Uint8Array)
  return item(`${channel}/${ts}`, {
    title,
    occurredAt,
    metadata,
    bytes: body as Uint8Array,
    mediaType: "application/json"
  })
}

/** Makes two threads and a message without a thread. The times are the same in two channels. */
const conversation = (channel: string) => [
  message(channel, { ts: "1700000000.000100", text: `asks in ${channel}`, thread: "1700000000.000100" }),
  message(channel, { ts: "1700000001.000100", text: "answers", thread: "1700000000.000100" }),
  message(channel, {
    ts: "1700000002.000100",
    text: "tells all",
    thread: "1700000000.000100",
    // https://docs.slack.dev/reference/events/message/thread_broadcast
    subtype: "thread_broadcast"
  }),
  message(channel, { ts: "1700000003.000100", text: "something else" }),
  message(channel, { ts: "1700000004.000100", text: "another", thread: "1700000004.000100" }),
  message(channel, { ts: "1700000005.000100", text: "its answer", thread: "1700000004.000100" })
]

const one = ["C1/1700000000.000100", "C1/1700000001.000100", "C1/1700000002.000100"]
const other = ["C1/1700000004.000100", "C1/1700000005.000100"]

it.layer(layer, { excludeTestServices: true })("a conversation of Slack", (it) => {
  const scene = Effect.gen(function* () {
    const run = yield* running("slack")
    const another = yield* running("slack")
    yield* run.commit({ items: [...conversation("C1"), ...conversation("C2")] })
    yield* another.commit({ items: conversation("C1") })
    yield* derive
    const { thread } = AgentReads.make(false)
    const ids = (id: string, limit = 20, offset = 0, names = [run.name]) =>
      Effect.map(thread(names, { connection: run.name, id }, { limit, offset }), ({ items, next }) => ({
        ids: items.map((found) => found.id),
        next
      }))
    return { run, ids, thread, another }
  })

  it.effect("is the same for its parent, for a reply, and for a reply that was also sent to the channel", () =>
    Effect.gen(function* () {
      const { another, ids, run, thread } = yield* scene
      const newestFirst = one.toReversed()
      for (const id of one) assert.deepStrictEqual(yield* ids(id), { ids: newestFirst, next: null }, id)
      for (const id of other) assert.deepStrictEqual((yield* ids(id)).ids, other.toReversed(), id)
      assert.deepStrictEqual((yield* ids("C1/1700000003.000100")).ids, ["C1/1700000003.000100"])
      assert.deepStrictEqual((yield* ids("C1/1")).ids, [])
      assert.deepStrictEqual(yield* ids(one[1] ?? "", 2), { ids: newestFirst.slice(0, 2), next: 2 })
      assert.deepStrictEqual(yield* ids(one[1] ?? "", 2, 2), { ids: newestFirst.slice(2), next: null })
      assert.deepStrictEqual((yield* ids(one[0] ?? "", 20, 0, [another.name])).ids, [])
      const { items } = yield* thread([run.name], { connection: run.name, id: one[0] ?? "" }, { limit: 20, offset: 0 })
      assert.deepStrictEqual(
        items.map(({ text }) => text),
        ["tells all", "answers", "asks in C1"]
      )
    })
  )

  it.effect("goes on without a parent or a reply that was deleted, and is found by their ids too", () =>
    Effect.gen(function* () {
      const { ids, run } = yield* scene
      const [parent = "", reply = "", broadcast = ""] = one
      yield* run.commit({ page: page({ deleted: [parent] }) })
      yield* settle(run.fence, { atMost: 2000, share: 1 })
      yield* derive
      for (const id of one) assert.deepStrictEqual((yield* ids(id)).ids, [broadcast, reply], id)
      yield* run.commit({ page: page({ deleted: [reply] }) })
      yield* settle(run.fence, { atMost: 2000, share: 1 })
      yield* derive
      for (const id of one) assert.deepStrictEqual((yield* ids(id)).ids, [broadcast], id)
    })
  )
})
