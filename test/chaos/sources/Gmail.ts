import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Proxy from "../Proxy.ts"
import { Random } from "../Random.ts"
import type { Deed, SourcePlan } from "../Schedule.ts"
import { type ChaosSource, compareIds, sameBytes, type StoredRow } from "../Source.ts"
import { Tally } from "../Tally.ts"

const Labels = Schema.Struct({ labels: Schema.Record(Schema.String, Schema.Unknown) })
const readLabels = Schema.decodeUnknownSync(Labels)

const hidden = ({ labelIds }: { readonly labelIds: ReadonlySet<string> }) =>
  labelIds.has("TRASH") || labelIds.has("SPAM")

const methods = ["messages.get", "messages.list", "history.list", "messages.get", "labels.list"] as const

/** Makes a message of about this many bytes. Messages of the same `size` above 2,000 are in the blob store. */
const raw = (subject: string, size: number): string =>
  `From: Ann <ann@example.com>\r\nSubject: ${subject}\r\n\r\n${`${subject} `.repeat(Math.ceil(size / (subject.length + 1)))}\r\n`

export const make = Effect.fnUntraced(function* (plan: SourcePlan) {
  const random = new Random(plan.seed)
  const server = yield* GmailServer.make()
  const tally = new Tally()
  const proxy = yield* Proxy.run(Number(new URL(server.url).port), { tally })
  const { mailbox } = server
  // The removed share is above the threshold for a person; the part of it that one slice finds (4 pages) is below.
  mailbox.pageLimit = plan.ending === "vanish" ? 2 : random.between(2, plan.ending === undefined ? 7 : 3)
  let everything = random.chance(0.3) || plan.ending === "narrow"
  let outside: ReadonlySet<string> = new Set()
  let versions = 0
  let spoilt = 0
  let written = 0

  const add = (count: number, labelIds: ReadonlyArray<string>) => {
    for (let index = 0; index < count; index += 1) {
      written += 1
      versions += 1
      // Some messages are large, and some have the same bytes as another.
      const size = random.chance(0.2) ? 6000 : 100
      mailbox.add({ labelIds, raw: raw(random.chance(0.15) ? "the same" : `number ${written}`, size) })
    }
  }
  add(plan.items, ["INBOX", "UNREAD"])

  const expected = () => mailbox.all.filter((message) => everything || !hidden(message))

  const source: ChaosSource = {
    domain: "gmail",
    tally,
    config: {
      rootUrl: `http://127.0.0.1:${proxy.port}`,
      includeSpamTrash: everything,
      quota: { unitsPerMinute: 1_000_000_000 }
    },
    credentials: { accessToken: "token" },
    onRequest: () => undefined,
    ids: () => expected().map(({ id }) => id),

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
        tally.order(name, times)
        server.fault(method, fault, {
          times,
          when: () => {
            tally.meet(name)
            return true
          }
        })
        // Each fault may damage a body, which is then requested again.
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

    vanish: (forgets) => {
      const all = expected().map(({ id }) => id)
      const lost = all.filter((_, index) => index % 5 !== 0)
      for (const id of lost) mailbox.remove(id)
      if (forgets) mailbox.expireHistory()
      return lost
    },

    reconsider: (vanished) => {
      const [next] = expected()
      if (next === undefined) return vanished
      mailbox.remove(next.id)
      return [...vanished, next.id]
    },

    scatter: () => {
      for (const [index, message] of expected().entries()) if (index % 3 === 0) mailbox.trash(message.id)
    },

    narrow: () => {
      everything = false
      outside = new Set(mailbox.all.filter(hidden).map(({ id }) => id))
      return { config: { ...source.config, includeSpamTrash: false }, outside }
    },

    restart: (which) => {
      if (which % 2 === 0) mailbox.expireHistory()
      mailbox.refusePageTokens()
      return which % 2 === 0 ? "the history and the page tokens expire" : "the page tokens are refused"
    },

    heal: () => {
      server.heal()
      proxy.heal()
      server.allow("token")
    },

    differences: (stored: ReadonlyMap<string, StoredRow>) => {
      return [
        ...compareIds(stored, new Set([...expected().map(({ id }) => id), ...outside])),
        ...expected().flatMap((message) => {
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
