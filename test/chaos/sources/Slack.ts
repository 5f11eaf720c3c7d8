import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected } from "../../support/slack/Model.ts"
import * as Proxy from "../Proxy.ts"
import { Random } from "../Random.ts"
import type { Deed, SourcePlan } from "../Schedule.ts"
import { type ChaosSource, compareIds, sameBytes, type StoredRow } from "../Source.ts"
import { Tally } from "../Tally.ts"

const readText = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ text: Schema.String })))

const readName = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ name: Schema.String })))

const methods = [
  "conversations.history",
  "conversations.replies",
  "conversations.list",
  "users.list",
  "files.download"
] as const

const deeds = [
  "post",
  "post",
  "share",
  "share",
  "reply",
  "reply",
  "broadcast",
  "edit",
  "edit reply",
  "react",
  "delete",
  "delete reply",
  "forget cursors",
  "rename"
] as const

export const make = Effect.fnUntraced(function* (plan: SourcePlan) {
  const random = new Random(plan.seed)
  const server = yield* SlackServer.make()
  const tally = new Tally()
  const proxy = yield* Proxy.run(Number(new URL(server.url).port), { tally, names: true })
  /** The names of the faults that the next requests of a method meet. */
  const ordered = new Map<string, Array<string>>()
  const slack = server.workspace
  server.maxLimit = random.between(2, 9)
  const channels = [
    slack.addChannel("one"),
    slack.addChannel("two", "private_channel"),
    slack.addChannel("three", "im")
  ]
  let shared = 0
  let spoilt = 0

  const share = (channel: string) => {
    shared += 1
    const text = `file ${random.chance(0.15) ? "the same" : shared} `
    const body = Buffer.from(text.repeat(random.chance(0.3) ? 500 : 1))
    slack.post(channel, `a file ${slack.now}`, { files: [slack.addFile(`${slack.now}.txt`, body)] })
  }

  const change = ({ deed, size, which }: Deed): string => {
    const channel = channels[deed % channels.length] ?? ""
    const { parents, threads } = slack.channel(channel)
    const parent = parents[which % Math.max(1, parents.length)]
    const replies = parent === undefined ? undefined : threads.get(parent.ts)
    const reply = replies?.[which % Math.max(1, replies.length)]
    const what = deeds[deed % deeds.length] ?? "post"
    switch (what) {
      case "post":
        for (let index = 0; index < size; index += 1) slack.post(channel, `text ${slack.now}`)
        break
      case "share":
        share(channel)
        break
      case "reply":
      case "broadcast":
        if (parent !== undefined && (!parent.tombstone || replies !== undefined)) {
          slack.post(channel, `reply ${slack.now}`, { thread: parent.ts, broadcast: what === "broadcast" })
        }
        break
      case "edit":
        if (parent?.tombstone === false) slack.edit(channel, parent.ts, `edited ${slack.now}`)
        break
      case "edit reply":
        if (reply !== undefined) slack.edit(channel, reply.ts, `edited ${slack.now}`)
        break
      case "react":
        if (parent?.tombstone === false) slack.react(channel, parent.ts, `emoji${slack.now}`)
        break
      case "delete":
        if (parent !== undefined) slack.delete(channel, parent.ts)
        break
      case "delete reply":
        if (reply !== undefined) slack.delete(channel, reply.ts)
        break
      case "forget cursors":
        server.cursorEpoch += 1
        break
      case "rename":
        slack.renameUser("U00000001", `alice ${slack.now}`)
        break
    }
    return `${what} in ${channel}`
  }
  for (let index = 0; index < plan.items; index += 1) {
    change({ deed: random.between(0, 5), which: random.between(0, 1000), size: 1 })
  }

  const filesOf = () =>
    Array.from(slack.channels.values())
      .flatMap((channel) => [...channel.parents, ...Array.from(channel.threads.values()).flat()])
      .flatMap((message) => message.files)

  const source: ChaosSource = {
    domain: "slack",
    tally,
    config: {
      slackApiUrl: `http://127.0.0.1:${proxy.port}/api/`,
      // A complete pass, which finds changes that visits miss, is due each time that an hour passes.
      sweepEvery: "30 minutes",
      quota: { unitsPerMinute: 1_000_000_000 }
    },
    credentials: { token: server.token },
    onRequest: () => undefined,
    ids: () => [...expected(server).keys()],
    change,

    fault: ({ deed, size, which }: Deed) => {
      const method = methods[which % methods.length] ?? "conversations.history"
      const order = (name: string, fault: SlackServer.Fault, times = size) => {
        tally.order(name, times)
        for (let index = 0; index < times; index += 1) {
          server.fail(method, fault)
          ordered.set(method, [...(ordered.get(method) ?? []), name])
        }
        spoilt += method === "files.download" ? times : 0
        return `${name} for ${times} ${method}`
      }
      switch (deed % 11) {
        case 0:
          return order("429 with Retry-After", { status: 429, retryAfter: "1" })
        case 1:
          return order("429", { status: 429 })
        case 2:
          return order("500", { status: 500 })
        case 3:
          return order("503 for long", { status: 503 }, size * 6)
        case 4:
          return order("a reset", "reset")
        case 5:
          // A file may have any content, so only its length shows that it is truncated.
          return method === "files.download" ? order("502", { status: 502 }) : order("malformed JSON", "not JSON")
        case 6:
          return order("no answer", "no answer", 1)
        case 7:
          return method === "files.download"
            ? order("504", { status: 504 })
            : order("an error of Slack's own", { error: "internal_error" })
        case 8:
          server.refuseAll = "token_revoked"
          return "the grant ends"
        default: {
          const how = (["slow", "cut", "reset", "stall"] as const)[which % 4] ?? "cut"
          for (let index = 0; index < size; index += 1) proxy.spoil(how)
          return `${how} bytes, ${size} times`
        }
      }
    },

    heal: () => {
      server.heal()
      ordered.clear()
      proxy.heal()
      server.refuseAll = undefined
    },

    differences: (stored: ReadonlyMap<string, StoredRow>) => {
      const messages = new Map([...stored].filter(([, row]) => row.kind === "message"))
      const right = expected(server)
      return [
        ...compareIds(messages, new Set(right.keys())),
        ...[...right].flatMap(([id, text]) => {
          const row = messages.get(id)
          const found = row === undefined ? text : readText(new TextDecoder().decode(row.body)).text
          return found === text ? [] : [`${id} says ${found} and not ${text}`]
        }),
        ...filesOf().flatMap((id) => {
          const row = stored.get(`files/${id}`)
          const file = slack.files.get(id)
          if (row === undefined || file === undefined) return [`files/${id} is lost`]
          return sameBytes(row.body, file.body)
            ? []
            : [`files/${id} has ${row.body.length} other bytes: ${new TextDecoder().decode(row.body.subarray(0, 60))}`]
        }),
        ...[...slack.users].flatMap(([id, { name }]) => {
          const row = stored.get(`users/${id}`)
          if (row === undefined) return [`users/${id} is lost`]
          const found = readName(new TextDecoder().decode(row.body)).name
          return found === name ? [] : [`users/${id} is called ${found} and not ${name}`]
        }),
        ...channels.flatMap((id) => (stored.has(`channels/${id}`) ? [] : [`channels/${id} is lost`]))
      ]
    },

    downloads: () => ({
      made: server.count("files.download"),
      due: shared + spoilt + proxy.spoilt() + server.abortedFiles
    })
  }
  server.onRequest = ({ method }) => {
    const met = ordered.get(method)?.shift()
    if (met !== undefined) tally.meet(met)
    source.onRequest()
  }
  return source
})
