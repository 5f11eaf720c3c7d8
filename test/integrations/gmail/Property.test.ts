import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"

const Step = Schema.Struct({
  what: Schema.Literals([
    "add",
    "add",
    "spam",
    "remove",
    "trash",
    "untrash",
    "label",
    "unlabel",
    "expire",
    "refuse",
    "sync"
  ]),
  which: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 50 }))),
  size: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 4 })))
})

const Plan = Schema.Struct({
  messages: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 20 }))),
  offsets: Schema.Boolean,
  everything: Schema.Boolean,
  steps: Schema.Array(Step).pipe(Schema.check(Schema.isMaxLength(40)))
})

const take = (mailbox: GmailServer.Server["mailbox"], { what, which, size }: typeof Step.Type): void => {
  const messages = mailbox.all
  const id = messages[which % Math.max(1, messages.length)]?.id
  if (what === "add")
    mailbox.fill(size, (index) => ({ labelIds: index % 2 === 0 ? ["INBOX"] : ["INBOX", `Label_${which % 4}`] }))
  else if (what === "spam") mailbox.add({ labelIds: ["SPAM"] })
  else if (what === "expire") mailbox.expireHistory()
  else if (what === "refuse") mailbox.refusePageTokens()
  else if (id === undefined) return
  else if (what === "remove") mailbox.remove(id)
  else if (what === "trash") mailbox.trash(id)
  else if (what === "untrash") mailbox.untrash(id)
  else if (what === "label") mailbox.modify(id, { add: [`Label_${size}`], remove: [`Label_${size - 1}`] })
  else if (what === "unlabel") mailbox.modify(id, { remove: ["INBOX", `Label_${size}`] })
}

it.effect.prop(
  "whatever happens to a mailbox between polls, the mirror ends with its messages and their labels",
  { plan: Plan },
  ({ plan }) =>
    Effect.gen(function* () {
      const server = yield* GmailServer.make()
      const { mailbox } = server
      mailbox.pageLimit = 3
      mailbox.pageTokens = plan.offsets ? "offset" : "position"
      mailbox.fill(plan.messages)
      const mirror = yield* Mirror.open({ url: server.url, config: { includeSpamTrash: plan.everything } })
      for (const step of plan.steps) {
        if (step.what === "sync") yield* Mirror.sync(mirror, { slice: step.size })
        else take(mailbox, step)
      }
      for (let more = true; more;) more = (yield* Mirror.sync(mirror)).length > 0

      const expected = mailbox.all.filter(
        ({ labelIds }) => plan.everything || !(labelIds.has("TRASH") || labelIds.has("SPAM"))
      )
      assert.deepStrictEqual(
        [...mirror.stored.keys()].sort().map((id) => [id, Mirror.labelsOf(mirror, id)] as const),
        expected.map(({ id, labelIds }) => [id, [...labelIds].sort()] as const).sort(([a], [b]) => (a < b ? -1 : 1))
      )
      const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.deepStrictEqual(idle, { calls: 1, units: 2, checkerQueries: 0, downloads: 0 })
    }).pipe(Effect.scoped),
  { arbitrary: { runs: 100 }, timeout: 120_000 }
)
