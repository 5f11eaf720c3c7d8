/**
 * Returns the text of a message as people read it. Slack's `text` is mrkdwn: `<…>` holds a link, a user, a channel or a
 * command, with a label after `|`, and `&`, `<` and `>` are escaped (docs.slack.dev, "Formatting message text").
 */
import * as Schema from "effect/Schema"

const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
const Attachment = Schema.Struct({ pretext: Text, title: Text, text: Text, fallback: Text })
const Body = Schema.Struct({
  text: Text,
  attachments: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Unknown)))
})
const isBody = Schema.is(Body)
const isAttachment = Schema.is(Attachment)

const unescaped = (text: string): string =>
  text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")

/** Returns the text for `<inside>`: its label if it has one, followed by the address of a link. */
const reference = (inside: string): string => {
  const bar = inside.indexOf("|")
  const target = bar === -1 ? inside : inside.slice(0, bar)
  const label = bar === -1 ? "" : inside.slice(bar + 1)
  switch (target[0]) {
    case "@":
      return `@${label === "" ? target.slice(1) : label}`
    case "#":
      return `#${label === "" ? target.slice(1) : label}`
    case "!":
      return label === "" ? `@${target.slice(1)}` : label
    default: {
      const address = target.replace(/^mailto:/, "")
      return label === "" || label === address ? address : `${label} (${address})`
    }
  }
}

const plain = (text: string): string =>
  unescaped(text.replaceAll(/<([^<>\n]+)>/g, (_, inside: string) => reference(inside)))

/** Returns the text of a message's body or, if it has none, the text of its attachments, which bots use. */
export const plainText = (body: unknown): string => {
  if (!isBody(body)) return ""
  const own = body.text ?? ""
  if (own !== "") return plain(own)
  return (body.attachments ?? [])
    .filter((each) => isAttachment(each))
    .map((each) => {
      const lines = [each.pretext, each.title, each.text].filter((line) => line !== undefined && line !== null)
      return plain((lines.length === 0 ? [each.fallback ?? ""] : lines).join("\n"))
    })
    .join("\n")
    .trim()
}
