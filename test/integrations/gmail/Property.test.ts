import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"
import { runs } from "../../support/Property.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum, maximum })))

const Step = Schema.Struct({
  what: Schema.Literals(["sync", "add", "spam", "remove", "trash", "untrash", "label", "unlabel", "expire", "refuse"]),
  which: between(0, 20),
  size: between(1, 4),
  /** With 0, acts at once; otherwise before this many more requests, in the middle of a listing. */
  after: between(0, 5)
})
type Step = typeof Step.Type

const Plan = Schema.Struct({
  messages: between(0, 20),
  offsets: Schema.Boolean,
  everything: Schema.Boolean,
  steps: Schema.Array(Step).pipe(Schema.check(Schema.isMinLength(8), Schema.isMaxLength(40)))
})
type Plan = typeof Plan.Type

const hidden = ({ labelIds }: { readonly labelIds: ReadonlySet<string> }) =>
  labelIds.has("TRASH") || labelIds.has("SPAM")

const take = (mailbox: GmailServer.Server["mailbox"], { what, which, size }: Step): void => {
  const messages = what === "untrash" ? mailbox.all.filter(hidden) : mailbox.all
  const id = messages[which % Math.max(1, messages.length)]?.id
  if (what === "add")
    mailbox.fill(size, (index) => ({ labelIds: ["INBOX", ...(index > 1 ? [`Label_${which % 4}`] : [])] }))
  else if (what === "spam") mailbox.add({ labelIds: ["SPAM"] })
  else if (what === "expire") mailbox.expireHistory()
  else if (what === "refuse") mailbox.refusePageTokens()
  else if (id === undefined) return
  else if (what === "remove") mailbox.remove(id)
  else if (what === "trash") mailbox.trash(id)
  else if (what === "untrash") mailbox.modify(id, { remove: ["TRASH", "SPAM"], add: ["INBOX"] })
  else if (what === "label") mailbox.modify(id, { add: [`Label_${size}`], remove: [`Label_${size - 1}`] })
  else if (what === "unlabel") mailbox.modify(id, { remove: ["INBOX", `Label_${size}`] })
}

/** Follows the plan, then polls until no work is left, and compares the mirror with the mailbox. */
const follow = (plan: Plan) =>
  Effect.gen(function* () {
    const server = yield* GmailServer.make()
    const { mailbox } = server
    mailbox.pageLimit = 3
    mailbox.pageTokens = plan.offsets ? "offset" : "position"
    mailbox.fill(plan.messages)
    const mirror = yield* Mirror.open({ url: server.url, config: { includeSpamTrash: plan.everything } })

    const waiting: Array<{ readonly step: Step; left: number }> = []
    const tick = () => {
      const [first] = waiting
      if (first === undefined || --first.left > 0) return
      waiting.shift()
      take(mailbox, first.step)
    }
    server.before("any", tick, Infinity)
    // A server that repeatedly refuses its page tokens ends a listing; the next listing continues it.
    const sync = (slice?: number) =>
      Mirror.sync(mirror, slice === undefined ? {} : { slice }).pipe(
        Effect.map((pages) => pages.length > 0),
        Effect.orElseSucceed(() => true)
      )

    for (const step of plan.steps) {
      if (step.what === "sync") yield* sync(step.size)
      else if (step.after === 0) take(mailbox, step)
      else waiting.push({ step, left: step.after })
    }
    for (let more = true; more || waiting.length > 0;) more = yield* sync()

    const expected = mailbox.all.filter((message) => plan.everything || !hidden(message))
    assert.deepStrictEqual([...mirror.stored.keys()].sort(), expected.map(({ id }) => id).sort())
    // Labels are rebuilt by walking several lists at a time, which is exact only if a page token names a position, like
    // Gmail's.
    for (const { id, labelIds } of plan.offsets ? [] : expected) {
      assert.deepStrictEqual(Mirror.labelsOf(mirror, id), [...labelIds].sort())
    }
    const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
    assert.deepStrictEqual(idle, { calls: 1, units: 2, checkerQueries: 0, downloads: 0 })
  }).pipe(Effect.scoped)

it.effect.prop(
  "whatever happens to a mailbox between and during polls, the mirror ends with its messages and their labels",
  { plan: Plan },
  ({ plan }) => follow(plan),
  runs(60)
)

it.effect("a message that is back from Trash while labels are walked keeps all its labels", () =>
  follow({
    messages: 2,
    offsets: false,
    everything: false,
    steps: [
      { what: "label", which: 15, size: 1, after: 0 },
      { what: "spam", which: 0, size: 1, after: 5 },
      { what: "remove", which: 0, size: 1, after: 0 },
      { what: "expire", which: 0, size: 1, after: 1 },
      { what: "remove", which: 0, size: 1, after: 5 },
      { what: "trash", which: 0, size: 1, after: 4 },
      { what: "untrash", which: 0, size: 2, after: 5 },
      { what: "sync", which: 17, size: 1, after: 1 },
      { what: "unlabel", which: 19, size: 4, after: 1 }
    ]
  })
)
