import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Proxy from "../Proxy.ts"
import { Random } from "../Random.ts"
import type { Deed, SourcePlan } from "../Schedule.ts"
import { type ChaosSource, compareIds, sameBytes, type StoredRow } from "../Source.ts"

const Labels = Schema.Struct({ labels: Schema.Record(Schema.String, Schema.Unknown) })
const readLabels = Schema.decodeUnknownSync(Labels)

const hidden = ({ labelIds }: { readonly labelIds: ReadonlySet<string> }) =>
  labelIds.has("TRASH") || labelIds.has("SPAM")

const methods = ["messages.get", "messages.list", "history.list", "messages.get", "labels.list"] as const

/** A message of about this many bytes; those of one `size` above 2,000 are in the blob store. */
const raw = (subject: string, size: number): string =>
  `From: Ann <ann@example.com>\r\nSubject: ${subject}\r\n\r\n${`${subject} `.repeat(Math.ceil(size / (subject.length + 1)))}\r\n`

export const make = Effect.fnUntraced(function* (plan: SourcePlan) {
  const random = new Random(plan.seed)
  const server = yield* GmailServer.make()
  const proxy = yield* Proxy.run(Number(new URL(server.url).port))
  const { mailbox } = server
  mailbox.pageLimit = random.between(2, 7)
  const everything = random.chance(0.3)
  let versions = 0
  let spoilt = 0
  let written = 0

  const add = (count: number, labelIds: ReadonlyArray<string>) => {
    for (let index = 0; index < count; index += 1) {
      written += 1
      versions += 1
      // Some are large, and some have the very bytes of another.
      const size = random.chance(0.2) ? 6000 : 100
      mailbox.add({ labelIds, raw: raw(random.chance(0.15) ? "the same" : `number ${written}`, size) })
    }
  }
  add(plan.items, ["INBOX", "UNREAD"])

  const source: ChaosSource = {
    domain: "gmail",
    config: {
      rootUrl: `http://127.0.0.1:${proxy.port}`,
      includeSpamTrash: everything,
      quota: { unitsPerMinute: 1_000_000_000 }
    },
    credentials: { accessToken: "token" },
    onRequest: () => undefined,
    ids: () => mailbox.all.filter((message) => everything || !hidden(message)).map(({ id }) => id),

    change: ({ deed, size, which }: Deed) => {
      const what = (
        ["add", "add", "add", "remove", "trash", "untrash", "label", "unlabel", "expire", "refuse"] as const
      )[deed % 10]
      const messages = what === "untrash" ? mailbox.all.filter(hidden) : mailbox.all
      const id = messages[which % Math.max(1, messages.length)]?.id
      if (what === "add") add(size, ["INBOX", `Label_${which % 4}`])
      else if (what === "expire") mailbox.expireHistory()
      else if (what === "refuse") mailbox.refusePageTokens()
      else if (id === undefined) return `${what}: nothing there`
      else if (what === "remove") mailbox.remove(id)
      else if (what === "trash") mailbox.trash(id)
      else if (what === "untrash") {
        versions += 1
        mailbox.modify(id, { remove: ["TRASH", "SPAM"], add: ["INBOX"] })
      } else if (what === "label") mailbox.modify(id, { add: [`Label_${size}`], remove: [`Label_${size - 1}`] })
      else mailbox.modify(id, { remove: ["INBOX", `Label_${size}`] })
      return what === "add" ? `add ${size}` : `${what} ${id ?? ""}`
    },

    fault: ({ deed, size, which }: Deed) => {
      const method = methods[which % methods.length] ?? "messages.get"
      const order = (name: string, fault: GmailServer.Fault, times = size) => {
        server.fault(method, fault, { times })
        // Each may spoil a body that is then asked for again.
        spoilt += method === "messages.get" ? times : 0
        return `${name} for ${times} of ${method}`
      }
      const { status } = GmailServer
      switch (deed % 14) {
        case 0:
          return order("429 with Retry-After", status(429, "rateLimitExceeded", { retryAfter: "1" }))
        case 1:
          return order("429", status(429, "rateLimitExceeded"))
        case 2:
          return order("403 for quota", status(403, "userRateLimitExceeded"))
        case 3:
          return order("500", status(500))
        case 4:
          return order("503 for long", status(503), size * 6)
        case 5:
          return order("no answer", { _tag: "Hang" }, 1)
        case 6:
          return order("a reset", { _tag: "Reset" })
        case 7:
          return order("a reset midway", { _tag: "Reset", midway: true })
        case 8:
          return order("malformed JSON", { _tag: "Change", change: () => '{"id": nonsense' })
        case 9:
          return order("a truncated answer", {
            _tag: "Change",
            change: (text) => text.slice(0, text.length / 2)
          })
        case 10: {
          server.expireAccessTokens()
          return "the grant ends"
        }
        default: {
          const how = (["slow", "cut", "reset", "stall"] as const)[deed % 4] ?? "cut"
          for (let index = 0; index < size; index += 1) proxy.spoil(how)
          return `${how} bytes, ${size} times`
        }
      }
    },

    heal: () => {
      server.heal()
      proxy.heal()
      server.allow("token")
    },

    differences: (stored: ReadonlyMap<string, StoredRow>) => {
      const expected = mailbox.all.filter((message) => everything || !hidden(message))
      return [
        ...compareIds(stored, new Set(expected.map(({ id }) => id))),
        ...expected.flatMap((message) => {
          const row = stored.get(message.id)
          if (row === undefined) return []
          const labels = Object.keys(readLabels(row.metadata).labels).toSorted().join(" ")
          const right = [...message.labelIds].toSorted().join(" ")
          return [
            ...(sameBytes(row.body, message.raw()) ? [] : [`${message.id} has other bytes`]),
            ...(labels === right ? [] : [`${message.id} has the labels ${labels} and not ${right}`])
          ]
        })
      ]
    },

    downloads: () => ({
      made: server.seen.filter(({ method, params }) => method === "messages.get" && params.get("format") === "raw")
        .length,
      due: versions + spoilt + proxy.spoilt() + server.aborted
    })
  }
  server.before("any", () => source.onRequest(), Number.POSITIVE_INFINITY)
  return source
})
