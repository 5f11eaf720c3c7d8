/** Slack's mrkdwn: the examples of docs.slack.dev, "Formatting message text", and texts that are no markup. */
import { assert, it } from "@effect/vitest"
import * as Emoji from "../../src/dashboard/Emoji.ts"
import * as Mrkdwn from "../../src/dashboard/Mrkdwn.ts"

const text = (value: string): Mrkdwn.Node => ({ _tag: "text", text: value })
const emoji = Emoji.make({ "1F389": "tada", "1F44D": ["+1", "thumbsup"], "2764": "heart" })

it("emphasis, code and quotes are read, also within each other", () => {
  assert.deepStrictEqual(Mrkdwn.parse("It was *not* _really_ ~there~ `x * y`"), [
    text("It was "),
    { _tag: "bold", children: [text("not")] },
    text(" "),
    { _tag: "italic", children: [text("really")] },
    text(" "),
    { _tag: "strike", children: [text("there")] },
    text(" "),
    { _tag: "code", text: "x * y" }
  ])
  assert.deepStrictEqual(Mrkdwn.parse("*_both_*"), [
    { _tag: "bold", children: [{ _tag: "italic", children: [text("both")] }] }
  ])
  assert.deepStrictEqual(Mrkdwn.parse("a\n&gt; b\n&gt; *c*\nd\n```\n*e* &lt;f&gt;\n```"), [
    text("a"),
    { _tag: "quote", children: [text("b\n"), { _tag: "bold", children: [text("c")] }] },
    text("d\n"),
    { _tag: "block", text: "*e* <f>\n" }
  ])
})

it("marks that are no emphasis stay: products, names with underscores, times, and what does not end", () => {
  for (const plain of [
    "2 * 3 * 4",
    "snake_case_name",
    "at 10:30:45 sharp",
    "*open",
    "```open",
    "a:b:c",
    "~/a and ~/b"
  ]) {
    assert.deepStrictEqual(Mrkdwn.parse(plain), [text(plain)], plain)
  }
})

it("links and mentions are read, with the label that Slack gives", () => {
  assert.deepStrictEqual(Mrkdwn.parse("<https://example.com/a_b?x=1&amp;y=2|*here*> <mailto:a@example.com>"), [
    { _tag: "link", url: "https://example.com/a_b?x=1&y=2", label: "*here*" },
    text(" "),
    { _tag: "link", url: "mailto:a@example.com", label: "a@example.com" }
  ])
  assert.deepStrictEqual(Mrkdwn.parse("<@U1> <#C1|general> <!here> <!subteam^S1|@team> <!date^1^{date}|Monday>"), [
    { _tag: "user", id: "U1", label: undefined },
    text(" "),
    { _tag: "channel", id: "C1", label: "general" },
    text(" "),
    { _tag: "group", label: "@here" },
    text(" "),
    { _tag: "group", label: "@team" },
    text(" "),
    { _tag: "group", label: "Monday" }
  ])
})

it("an address that could run a script, or that is none, is text", () => {
  for (const address of [
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "//host",
    "x"
  ]) {
    assert.deepStrictEqual(Mrkdwn.parse(`<${address}|click>`), [text(`<${address}|click>`)], address)
  }
})

it("a title has names and emoji in place of ids and codes, and no marks", () => {
  const names = { U1: "Ada", constructor: "no" }
  const title = "*Hello* <@U1> and <@U2|bob>, <@constructor2>:\n:tada: :+1::skin-tone-3: :heart: :custom:"
  assert.strictEqual(Mrkdwn.plain(title, names, emoji), "Hello @Ada and @bob, @constructor2: 🎉 👍🏼 ❤️ :custom:")
  assert.strictEqual(Mrkdwn.plain("<@toString>", {}, emoji), "@toString")
})

it("long texts of nothing but marks are read in time that grows with their length", () => {
  for (const marks of ["*", "_a", "~ ", "<", ":", "`", "*a* _", "&gt;\n", "<a|", "```"]) {
    const long = marks.repeat(60_000)
    assert.isAtLeast(Mrkdwn.plain(long, {}, emoji).length + 1, 1)
  }
})
