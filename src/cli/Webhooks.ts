/** `idem webhooks`: webhooks and their messages. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChangeKind } from "../engine/model/Change.ts"
import { MessageState, type WebhookId } from "../engine/model/Webhook.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Documents from "../http/webhooks/WebhookDocuments.ts"
import { messageId, Url } from "../http/webhooks/WebhookEndpoints.ts"
import * as Arguments from "./Arguments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output, type Style } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const encode = Schema.encodeSync(Documents.Webhook)
const encodeMessage = Schema.encodeSync(Documents.Message)
const encodePing = Schema.encodeSync(Documents.Pinged)

const webhook = Argument.String("webhook").pipe(Argument.withDescription("the webhook's id or name"))

/** Finds the webhook with this id or name. */
const find = Effect.fnUntraced(function* (ref: string) {
  const api = yield* ApiClient
  const { webhooks } = yield* api.webhooks.list({})
  const byId = webhooks.find(({ id }) => id === ref)
  const byName = webhooks.filter(({ name }) => name === ref)
  const [only] = byId === undefined ? byName : [byId]
  if (only === undefined) {
    return yield* CommandFailure.usage(`there is no webhook ${TextFormat.quoted(ref)}; see: idem webhooks`)
  }
  if (byId === undefined && byName.length > 1) {
    return yield* CommandFailure.usage(
      `${byName.length} webhooks have the name ${TextFormat.quoted(ref)}: give an id; see: idem webhooks`
    )
  }
  return only
})

/** Calls the API for the webhook with this id or name. */
const withWebhook = <A, E>(
  ref: string,
  work: (
    api: ApiClient["Service"],
    found: Documents.Webhook,
    params: { readonly webhook: WebhookId }
  ) => Effect.Effect<A, E>
) =>
  AppServices.ask(
    Effect.gen(function* () {
      const found = yield* find(ref)
      return yield* work(yield* ApiClient, found, { webhook: found.id })
    })
  )

const stateOf = ({ dead, failingSince, pending, reason, state }: Documents.Webhook, now: DateTime.Utc): string =>
  [
    state,
    ...(reason === null ? [] : [TextFormat.short(reason, 60)]),
    ...(failingSince === null ? [] : [`failing since ${TextFormat.moment(failingSince, now)}`]),
    ...(pending === 0 ? [] : [`${TextFormat.count(pending)} pending`]),
    ...(dead === 0 ? [] : [`${TextFormat.count(dead)} dead`])
  ].join(", ")

const list = Effect.fn("webhooks")(function* () {
  const output = yield* Output
  const { webhooks } = yield* AppServices.ask(ApiClient.use((api) => api.webhooks.list({})))
  const now = yield* DateTime.now
  const table = yield* output.table
  yield* output.answer({ webhooks: webhooks.map((each) => encode(each)) }, () =>
    webhooks.length === 0
      ? "there are no webhooks yet: idem webhooks create https://example.com/hook"
      : table(
          ["ID", "NAME", "URL", "STATE"],
          webhooks.map((each) => [
            each.id,
            TextFormat.short(each.name, 30),
            TextFormat.short(each.url, 60),
            stateOf(each, now)
          ]),
          { cut: ["NAME", "URL", "STATE"], drop: ["URL"] }
        )
  )
})

/** Prints a webhook with its new secret, which is shown only here. */
const withSecret = (
  { secret, ...given }: Documents.Webhook & { readonly secret: string },
  heading: string,
  style: Style
): string =>
  [
    `${style.good(heading)} ${style.bold(TextFormat.oneLine(given.name))}`,
    TextFormat.fields([
      ["  id", given.id],
      ["  url", TextFormat.oneLine(given.url)],
      ["  secret", `${secret}  (shown this once)`],
      ["  next", `idem webhooks ping ${given.id}`]
    ])
  ].join("\n")

const create = Command.make(
  "create",
  {
    url: Arguments.textArgument("url", "an https URL at a public address; IDEM_WEBHOOK_ALLOW allows others", Url),
    name: Arguments.name.pipe(Flag.withDescription("a name for it (default: the URL's host)"), Flag.optional),
    connection: Arguments.connectionName("connection", "send only this connection's changes").pipe(Flag.optional),
    changes: Flag.Literals("change", ChangeKind.literals).pipe(
      Flag.withDescription("send only this kind of change; may be repeated"),
      Flag.atLeast(0)
    ),
    from: Flag.Literals("from", ["now", "beginning"]).pipe(
      Flag.withDescription("send what changes from now on (the default), or everything from the beginning"),
      Flag.withDefault("now" as const)
    )
  },
  Effect.fn("webhooks create")(function* (input) {
    const output = yield* Output
    const created = yield* AppServices.ask(
      ApiClient.use((api) =>
        api.webhooks.create({
          payload: {
            url: input.url,
            from: input.from,
            ...Arguments.given("name", input.name),
            ...Arguments.given("connection", input.connection),
            ...(input.changes.length === 0 ? {} : { changes: input.changes })
          }
        })
      )
    )
    const { secret, ...document } = created
    yield* output.answer({ webhook: { ...encode(document), secret } }, () =>
      withSecret(created, "created", output.style)
    )
  })
).pipe(Command.withDescription("Send changes to a URL, signed; shows the secret, this once"))

const ping = Command.make(
  "ping",
  { webhook },
  Effect.fn("webhooks ping")(function* (input) {
    const output = yield* Output
    const { found, pinged } = yield* withWebhook(input.webhook, (api, found, params) =>
      Effect.map(api.webhooks.ping({ params }), (pinged) => ({ found, pinged }))
    )
    const document = { webhook: found.id, ping: encodePing(pinged) }
    const took = `${TextFormat.count(Math.round(pinged.durationMs))} ms`
    if (!pinged.delivered) {
      return yield* new CommandFailure.Failure({
        reason: "NotDelivered",
        message: `${found.url} did not accept the message: ${pinged.error ?? "it gave no answer"} (after ${took})`,
        code: CommandFailure.exitCode.failed,
        document
      })
    }
    yield* output.answer(
      document,
      () => `${output.style.good("delivered")} in ${took}: ${TextFormat.oneLine(found.url)} answered ${pinged.status}`
    )
  })
).pipe(Command.withDescription("Send a signed test message now, and show the answer"))

const messages = Command.make(
  "messages",
  {
    webhook,
    state: Flag.Literals("state", MessageState.literals).pipe(
      Flag.withDescription("list messages in this state"),
      Flag.withMetavar("S"),
      Flag.optional
    ),
    limit: Arguments.limit(1000, 20),
    after: Arguments.textFlag(
      "after",
      "ID",
      "continue after this message: `next` of the previous page",
      messageId.message
    )
  },
  Effect.fn("webhooks messages")(function* (input) {
    const output = yield* Output
    const { messages: rows, next } = yield* withWebhook(input.webhook, (api, _, params) =>
      api.webhooks.messages({
        params,
        query: {
          limit: input.limit,
          ...Arguments.given("state", input.state),
          ...Arguments.given("after", input.after)
        }
      })
    )
    const table = yield* output.table
    yield* output.answer({ messages: rows.map((row) => encodeMessage(row)), next }, () => {
      if (rows.length === 0) return "no messages"
      const lines = table(
        ["ID", "MADE (UTC)", "STATE", "CHANGES", "ATTEMPTS", "ANSWER"],
        rows.map((row) => [
          row.id,
          TextFormat.minute(row.createdAt),
          row.state,
          TextFormat.count(row.changes),
          TextFormat.count(row.attempts),
          row.error === null ? (row.status === null ? "" : String(row.status)) : TextFormat.short(row.error, 80)
        ]),
        { right: ["CHANGES", "ATTEMPTS"], cut: ["ANSWER"], drop: ["CHANGES", "ATTEMPTS", "MADE (UTC)"] }
      )
      return next === null ? lines : `${lines}\n${output.style.dim(`more: --after ${next}`)}`
    })
  })
).pipe(Command.withDescription("List a webhook's messages, newest first"))

const redeliver = Command.make(
  "redeliver",
  {
    webhook,
    message: Arguments.textArgument(
      "message",
      "a dead message's id (default: all dead messages)",
      messageId.message
    ).pipe(Argument.optional)
  },
  Effect.fn("webhooks redeliver")(function* (input) {
    const output = yield* Output
    const redelivered = yield* withWebhook(input.webhook, ({ webhooks }, _, params) =>
      Option.match(input.message, {
        onNone: () => Effect.map(webhooks.redeliverAll({ params }), ({ redelivered }) => redelivered),
        onSome: (message) => Effect.as(webhooks.redeliver({ params: { ...params, message } }), 1)
      })
    )
    yield* output.answer({ redelivered }, () =>
      redelivered === 0
        ? "there are no dead messages"
        : `${TextFormat.many(redelivered, "message")} due again, while \`idem serve\` runs`
    )
  })
).pipe(Command.withDescription("Deliver dead messages again"))

const rotate = Command.make(
  "rotate",
  { webhook },
  Effect.fn("webhooks rotate")(function* (input) {
    const output = yield* Output
    const rotated = yield* withWebhook(input.webhook, (api, _, params) =>
      api.webhooks.rotate({ params, payload: null })
    )
    const { secret, ...document } = rotated
    yield* output.answer({ webhook: { ...encode(document), secret } }, () =>
      withSecret(rotated, "rotated; the former secret also signs for 24 hours:", output.style)
    )
  })
).pipe(Command.withDescription("Make a new secret; the former one also signs for 24 hours"))

const setState = (name: "pause" | "resume", description: string) =>
  Command.make(
    name,
    { webhook },
    Effect.fnUntraced(function* (input) {
      const output = yield* Output
      const state = name === "pause" ? ("paused" as const) : ("active" as const)
      const changed = yield* withWebhook(input.webhook, (api, _, params) =>
        api.webhooks.change({ params, payload: { state } })
      )
      yield* output.answer(
        { webhook: encode(changed) },
        () => `${TextFormat.oneLine(changed.name)} is ${changed.state}`
      )
    })
  ).pipe(Command.withDescription(description))

const remove = Command.make(
  "remove",
  { webhook },
  Effect.fn("webhooks remove")(function* (input) {
    const output = yield* Output
    const removed = yield* withWebhook(input.webhook, (api, found, params) =>
      Effect.as(api.webhooks.remove({ params }), found)
    )
    yield* output.answer(
      { removed: removed.id },
      () => `${TextFormat.oneLine(removed.name)} and its messages are removed`
    )
  })
).pipe(Command.withDescription("Remove a webhook and its messages"))

export const webhooks = Command.make("webhooks", {}, list).pipe(
  Command.withDescription("List webhooks, and create, test, rotate and remove them"),
  Command.withSubcommands([
    create,
    ping,
    messages,
    redeliver,
    rotate,
    setState("pause", "Send nothing for now"),
    setState("resume", "Send again, from where it stopped"),
    remove
  ])
)
