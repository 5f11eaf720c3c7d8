/** Tests against an independent Slack: npm's `emulate`. It ignores `oldest` and `latest`, and accepts any token. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createEmulator } from "emulate"
import { poll } from "../../../src/contract/SyncTask.ts"
import { fetch } from "../../support/Fetch.ts"
import { freePort } from "../../support/FreePort.ts"
import { Model, open } from "../../support/slack/Model.ts"

const Answer = Schema.Struct({
  ok: Schema.Literal(true),
  ts: Schema.optionalKey(Schema.String),
  channel: Schema.optionalKey(Schema.Unknown),
  upload_url: Schema.optionalKey(Schema.String),
  file_id: Schema.optionalKey(Schema.String)
})
const Channel = Schema.Struct({ id: Schema.String })
const Text = Schema.fromJsonString(Schema.Struct({ text: Schema.String }))

const emulator = Effect.gen(function* () {
  const port = yield* freePort
  const token = "xoxb-emulated"
  const { url } = yield* Effect.acquireRelease(
    Effect.promise(() =>
      createEmulator({
        service: "slack",
        port,
        seed: {
          tokens: { [token]: { login: "U000000001", scopes: [] } },
          slack: { channels: ["one", "two", "three"].map((name) => ({ name })) }
        }
      })
    ),
    (emulator) => Effect.promise(() => emulator.close())
  )
  const send = (method: string, args: Record<string, string>) =>
    Effect.promise(async () => {
      const response = await fetch(`${url}/api/${method}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams(args)
      })
      return Schema.decodeUnknownSync(Answer)(await response.json())
    })
  const post = (channel: string, text: string, thread?: string) =>
    Effect.map(
      send("chat.postMessage", { channel, text, ...(thread === undefined ? {} : { thread_ts: thread }) }),
      ({ ts = "" }) => ts
    )
  const upload = Effect.fnUntraced(function* (channel: string, name: string, body: string) {
    const { file_id = "", upload_url = "" } = yield* send("files.getUploadURLExternal", {
      filename: name,
      length: String(body.length)
    })
    yield* Effect.promise(() => fetch(upload_url, { method: "POST", body }))
    yield* send("files.completeUploadExternal", {
      files: JSON.stringify([{ id: file_id, title: name }]),
      channel_id: channel
    })
    return file_id
  })
  const create = (name: string, isPrivate: boolean) =>
    Effect.map(
      send("conversations.create", { name, is_private: String(isPrivate) }),
      ({ channel }) => Schema.decodeUnknownSync(Channel)(channel).id
    )
  return { server: { url: `${url}/api/`, token }, send, post, upload, create }
})

describe("emulate", () => {
  it.live("1,250 messages in several channels, threads and files: all stored once, the second run stores nothing", () =>
    Effect.gen(function* () {
      const { create, post, send, server, upload } = yield* emulator
      const channels = ["C000000001", yield* create("busy", false), yield* create("quiet", true)]
      const all = new Map<string, string>()
      // Slack's largest page has 999 messages, and the busy channel has a few more.
      for (let index = 0; index < 1063; index++) {
        const channel = channels[index % 20 < 19 ? 1 : index % 40 < 20 ? 0 : 2] ?? ""
        const ts = yield* post(channel, `message ${index}`)
        all.set(`${channel}/${ts}`, `message ${index}`)
        const replies = index % 17 === 0 ? 3 : 0
        for (let reply = 0; reply < replies; reply++) {
          all.set(`${channel}/${yield* post(channel, `reply ${reply} to ${index}`, ts)}`, `reply ${reply} to ${index}`)
        }
      }
      const files = new Map<string, string>()
      for (let index = 0; index < 5; index++) {
        files.set(`files/${yield* upload(channels[1] ?? "", `${index}.txt`, `body ${index}`)}`, `body ${index}`)
      }
      assert.strictEqual(all.size, 1252)

      const model = new Model()
      const session = yield* open(server)
      const first = yield* model.run(session)
      for (const [id, text] of all) {
        assert.strictEqual(Schema.decodeUnknownSync(Text)(model.rows.get(id)?.body ?? "{}").text, text, id)
      }
      for (const [id, body] of files) assert.strictEqual(model.rows.get(id)?.body, body)
      assert.deepStrictEqual([...first.problems, ...first.updated, ...first.unchanged, ...first.failed.keys()], [])
      assert.isTrue(Array.from(model.rows.values()).every((row) => row.writes === 1))

      const second = yield* model.run(session)
      assert.deepStrictEqual([...second.stored, ...second.updated, ...second.unchanged], [])
      assert.strictEqual(second.downloads, 0)

      const parent = Array.from(all.keys())[0] ?? ""
      const [channel = "", ts = ""] = parent.split("/")
      const late = yield* post(channel, "late", ts)
      const plain = yield* post(channel, "plain")
      yield* send("chat.update", { channel, ts: plain, text: "edited" })
      const third = yield* model.run(session)
      assert.sameMembers(third.stored as Array<string>, [`${channel}/${late}`, `${channel}/${plain}`])
      assert.deepStrictEqual([third.updated, third.patched], [[], [parent]])

      yield* send("chat.delete", { channel, ts: plain })
      assert.deepStrictEqual((yield* model.run(session)).deleted, [`${channel}/${plain}`])

      const forced = yield* model.run(session, { task: { ...poll, force: true } })
      assert.deepStrictEqual([...forced.stored, ...forced.updated], [])
      assert.strictEqual(new Set(forced.unchanged).size, model.rows.size)
      for (const id of [parent, `${channel}/${late}`, `users/U000000001`, `channels/${channel}`]) {
        const content = yield* session.download({ externalId: id })
        assert.isDefined(content.kind)
      }
    })
  )

  it.live("ends, in slices, though the emulator goes back to the newest message whatever is asked for", () =>
    Effect.gen(function* () {
      const { post, server } = yield* emulator
      for (let index = 0; index < 100; index++) yield* post("C000000001", `message ${index}`)
      const model = new Model()
      const session = yield* open(server, { preset: "non-marketplace" })
      let slices = 1
      while ((yield* model.run(session, { pages: 3 })).isMoreLeft) assert.isBelow((slices += 1), 60)
      assert.strictEqual(model.ids("C").length, 100)
    })
  )
})
