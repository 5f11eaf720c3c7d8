import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected, mirrored, Model, open } from "../../support/slack/Model.ts"
import { runs } from "../../support/Property.ts"

const Which = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 40 })))
const Few = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 6 })))

/** The actions of people, and events of the sync. `channel` and `message` are indexes modulo the present numbers. */
const Deed = Schema.Union([
  Schema.Struct({ deed: Schema.Literals(["post", "share"]), channel: Which }),
  Schema.Struct({
    deed: Schema.Literals(["reply", "broadcast", "edit", "react", "delete", "editReply", "deleteReply"]),
    channel: Which,
    message: Which
  }),
  Schema.Struct({ deed: Schema.Literals(["slice", "crash"]), pages: Few }),
  Schema.Struct({ deed: Schema.Literals(["poll", "forget cursors", "fail"]) })
])

const Story = Schema.Array(Deed).pipe(Schema.check(Schema.isMinLength(8), Schema.isMaxLength(60)))

const files = (server: SlackServer.SlackServer) =>
  Array.from(server.workspace.channels.values())
    .flatMap((channel) => [...channel.parents, ...Array.from(channel.threads.values()).flat()])
    .flatMap((message) => message.files.map((id) => `files/${id}`))

it.effect.prop(
  "whatever happens between and during polls, a mirror ends with what the server has, and takes nothing twice",
  { limit: Few, tours: Schema.Boolean, story: Story },
  ({ limit, story: deeds, tours }) =>
    Effect.scoped(
      Effect.gen(function* () {
        // Long after all posted messages.
        yield* TestClock.setTime(Date.UTC(2026, 0, 1))
        const server = yield* SlackServer.make()
        const slack = server.workspace
        server.maxLimit = tours ? limit + 1 : limit + 5
        const channels = [
          slack.addChannel("one"),
          slack.addChannel("two", "private_channel"),
          slack.addChannel("three", "im")
        ]
        // The channel has a message older than 90 days that is never deleted, so no free plan can explain absences
        // elsewhere.
        slack.post(slack.addChannel("old"), "an old message")
        const model = new Model()
        const repeated: Array<string> = []
        const run = (options: Parameters<Model["run"]>[1] = {}) =>
          Effect.gen(function* () {
            // A complete pass is due in each poll, and never twice in one, however slow the machine is.
            yield* TestClock.adjust("1 second")
            const session = yield* open(server, tours ? { sweepEvery: "1 millis" } : {})
            const exit = yield* Effect.exit(model.run(session, options))
            if (exit._tag === "Success") repeated.push(...exit.value.unchanged)
            return exit
          }).pipe(Effect.scoped)

        // Complete passes find the changes that visits miss. Without these changes, visits find everything.
        const unseen = new Set(["broadcast", "delete", "editReply", "deleteReply"])
        const story = tours ? deeds : deeds.filter(({ deed }) => !unseen.has(deed))
        for (const one of story) {
          const channel = "channel" in one ? (channels[one.channel % channels.length] ?? "") : ""
          const parents = channel === "" ? [] : slack.channel(channel).parents
          const parent = "message" in one ? parents[one.message % Math.max(1, parents.length)] : undefined
          const replies = parent === undefined ? undefined : slack.channel(channel).threads.get(parent.ts)
          const reply = "message" in one ? replies?.[one.message % Math.max(1, replies.length)] : undefined
          switch (one.deed) {
            case "post":
              slack.post(channel, `text ${slack.now}`)
              break
            case "share":
              slack.post(channel, "a file", { files: [slack.addFile(`${slack.now}.txt`, new Uint8Array([65]))] })
              break
            case "reply":
            case "broadcast":
              if (parent !== undefined && (!parent.tombstone || replies !== undefined)) {
                slack.post(channel, `reply ${slack.now}`, { thread: parent.ts, broadcast: one.deed === "broadcast" })
              }
              break
            case "edit":
              if (parent?.tombstone === false) slack.edit(channel, parent.ts, `edited ${slack.now}`)
              break
            case "react":
              if (parent?.tombstone === false) slack.react(channel, parent.ts, `emoji${slack.now}`)
              break
            case "delete":
              if (parent !== undefined) slack.delete(channel, parent.ts)
              break
            case "editReply":
              if (reply !== undefined) slack.edit(channel, reply.ts, `edited ${slack.now}`)
              break
            case "deleteReply":
              if (reply !== undefined) slack.delete(channel, reply.ts)
              break
            case "poll":
              yield* run()
              break
            case "slice":
              yield* run({ pages: one.pages })
              break
            case "crash":
              yield* run({ crash: one.pages })
              break
            case "forget cursors":
              server.cursorEpoch += 1
              break
            case "fail":
              server.fail("conversations.history", "reset")
              break
          }
        }
        const difference = () => {
          const [mine, theirs] = [mirrored(model), expected(server)]
          return [...new Set([...mine.keys(), ...theirs.keys()])]
            .filter((id) => mine.get(id) !== theirs.get(id))
            .map((id) => `${id}: ${mine.get(id)} | ${theirs.get(id)}`)
        }
        // A complete pass may be at its start at the last change, and has a budget for each poll.
        for (let polls = 0; polls < 2 || (polls < 40 && difference().length > 0); polls++) {
          const exit = yield* run()
          if (polls > story.length) assert.strictEqual(exit._tag, "Success")
        }
        assert.deepStrictEqual(difference(), [])
        for (const id of files(server)) assert.isTrue(model.rows.has(id))
        assert.deepStrictEqual(repeated, [])
      })
    ),
  runs(60)
)
