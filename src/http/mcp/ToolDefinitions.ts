/**
 * Defines the tools of the MCP server: their parameters and their results, with the bounds of both. `McpTools.ts`
 * implements them.
 */
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Schema from "effect/Schema"
import * as AgentReads from "../../derive/AgentReads.ts"
import { isInstant } from "../Parameters.ts"

/** The most characters in one page of a text. */
export const pageLength = 20_000

/** The most contents in one result. */
const mostItems = 50

const Text = Schema.NullOr(Schema.String)
const Time = Schema.NullOr(Schema.DateTimeUtcFromString)

export const Source = Schema.Struct({
  connection: Schema.String,
  source: Schema.String,
  /** When the source last answered a poll. */
  lastCheckedAt: Time,
  paused: Text,
  problems: Schema.Int
})

/** How up to date a result is. */
const Fresh = Schema.Struct({
  sources: Schema.Array(Source),
  /** The number of stored changes that are not in these results yet. */
  behind: Schema.Int,
  behindSeconds: Schema.Finite,
  /** The number of contents whose present state `search` does not find yet. */
  unindexed: Schema.Int
})

/** Fields that results add to or change in what is read: the resource of the content, and the time as text. */
const answered = { uri: Schema.String, at: Time }

const Item = Schema.Struct({ ...AgentReads.Item.fields, ...answered })
const Message = Schema.Struct({ ...AgentReads.Message.fields, ...answered })
const Content = Schema.Struct({
  ...AgentReads.ContentRow.fields,
  ...answered,
  attachments: Schema.Array(AgentReads.Attachment),
  /** The offset of the next page of the text, or null. */
  next: Schema.NullOr(Schema.Int)
})

const answer = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct({ notice: Schema.String, ...fields, fresh: Fresh })

const failure = Schema.Struct({ error: Schema.String })

const described = (description: string) => Schema.String.annotate({ description })
const Name = described("the connection's name, from `sources`").pipe(Schema.check(Schema.isMaxLength(300)))
const Id = described("the content's id").pipe(Schema.check(Schema.isBetweenLength(1, 1024)))
const Moment = (description: string) =>
  described(`${description}, in ISO 8601 with an offset, like 2026-01-31T00:00:00Z, or a date`).pipe(
    Schema.check(isInstant),
    Schema.decodeTo(Schema.DateTimeUtcFromString)
  )
const Word = (description: string) => described(description).pipe(Schema.check(Schema.isBetweenLength(1, 300)))
const Limit = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: mostItems }))).annotate({
  description: `the most results, 1 to ${mostItems}; default 20`
})

const After = described("`next` of the previous page").pipe(Schema.check(Schema.isBetweenLength(1, 10_000)))

const Offset = (description: string) =>
  Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 100_000_000 }))).annotate({ description })

/** The offset of the next page, or null. */
const Next = Schema.NullOr(Schema.Int)

/** A struct of parameters. Any other name is an error, which lists these names. */
const parameters = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotate({
    messageUnexpectedKey: `Unknown parameter. The parameters are: ${Object.keys(fields).join(", ")}`
  })

const noParameters = Schema.Record(
  Schema.String,
  Schema.Never.annotate({ message: "Unknown parameter. The parameters are: none" })
)

const readOnly = <T extends Tool.Any>(tool: T): T =>
  tool.annotate(Tool.Readonly, true).annotate(Tool.Destructive, false).annotate(Tool.Strict, true) as T

const sources = readOnly(
  Tool.make("sources", {
    description: "Lists the mirrored connections, the kind of each source, and how up to date each is.",
    parameters: noParameters,
    success: answer({}),
    failure,
    failureMode: "return"
  })
)

const list = readOnly(
  Tool.make("list", {
    description:
      "Lists emails, messages and files by time, newest first. Each must match all filters. " +
      "To search for words use `search`; to read a text use `get`.",
    parameters: parameters({
      connection: Schema.optionalKey(Name),
      kind: Schema.optionalKey(Word("the kind: message, file, channel, user, …")),
      from: Schema.optionalKey(Word("the sender's address or name, or the beginnings of the words in it")),
      channel: Schema.optionalKey(Word("the name of a Slack channel")),
      folder: Schema.optionalKey(Word("a file's folder, or an email's label or mailbox, such as INBOX")),
      since: Schema.optionalKey(Moment("only at or after this time")),
      until: Schema.optionalKey(Moment("only before this time")),
      limit: Schema.optionalKey(Limit),
      after: Schema.optionalKey(After)
    }),
    success: answer({ items: Schema.Array(Item), next: Text }),
    failure,
    failureMode: "return"
  })
)

const search = readOnly(
  Tool.make("search", {
    description:
      "Full-text search, best results first. All words must occur as they are written: give the few words that a " +
      "text must have, not a question. Add other forms and languages with OR (invoice OR invoices OR Rechnung). " +
      'Also "phrases", -excluded, beginnings with an asterisk (invoic*), and fields: from: to: subject: in: label: ' +
      "filename: has:attachment before:2026-01-31 after:2026-01-31 is:deleted",
    parameters: parameters({
      query: Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 1000))),
      connection: Schema.optionalKey(Name),
      limit: Schema.optionalKey(Limit),
      after: Schema.optionalKey(After)
    }),
    success: answer({
      /** The cursor of the next page, or null. */
      next: Text,
      results: Schema.Array(
        Schema.Struct({
          ...Item.fields,
          /** A part of the text around the matching words. */
          snippet: Text
        })
      )
    }),
    failure,
    failureMode: "return"
  })
)

const get = readOnly(
  Tool.make("get", {
    description:
      `Reads one email, message or file: its text, ${pageLength.toLocaleString("en")} characters at a time, ` +
      "its people and its attachments. With `part`, reads the text of that attachment instead.",
    parameters: parameters({
      connection: Name,
      id: Id,
      part: Schema.optionalKey(
        Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 100_000 }))).annotate({
          description: "the number of the attachment whose text to read"
        })
      ),
      offset: Schema.optionalKey(Offset("where the page begins: `next` of the previous page"))
    }),
    success: answer({ content: Content }),
    failure,
    failureMode: "return"
  })
)

const thread = readOnly(
  Tool.make("thread", {
    description:
      "Reads the conversation of an email or a Slack message: its newest messages, oldest first, " +
      "with the beginning of each text. For earlier messages pass `next` as `offset`.",
    parameters: parameters({
      connection: Name,
      id: Id,
      limit: Schema.optionalKey(Limit),
      offset: Schema.optionalKey(Offset("how many of the newest messages to skip: `next` of the previous result"))
    }),
    success: answer({ messages: Schema.Array(Message), next: Next }),
    failure,
    failureMode: "return"
  })
)

const sql = readOnly(
  Tool.make("sql", {
    description:
      "Runs a read-only PostgreSQL query on the tables of the schema mirror: content, mail, mail_address, " +
      "attachment, slack_channel, slack_user, slack_message, slack_file, file, feed_entry. Their columns are in " +
      "information_schema.columns. To find words use search('words', max_results => 50), which uses an index, " +
      "instead of text ILIKE.",
    parameters: parameters({ query: described("one SELECT").pipe(Schema.check(Schema.isBetweenLength(1, 20_000))) }),
    success: answer({
      columns: Schema.Array(Schema.String),
      rows: Schema.Array(Schema.Array(Schema.Json)),
      truncated: Schema.Boolean
    }),
    failure,
    failureMode: "return"
  })
)

/** The tools that every agent is offered. */
export const reading = Toolkit.make(sources, search, list, get, thread)
/** The tool `sql`, which is offered only if it is allowed. */
export const querying = Toolkit.make(sql)
