/**
 * Parses Slack's mrkdwn into a tree: emphasis, code, quotes, links, mentions and emoji (docs.slack.dev, "Formatting
 * message text"). Text without markup stays unchanged.
 */
export type Node =
  | { readonly _tag: "text"; readonly text: string }
  | { readonly _tag: "bold" | "italic" | "strike" | "quote"; readonly children: ReadonlyArray<Node> }
  | { readonly _tag: "code" | "block"; readonly text: string }
  | { readonly _tag: "link"; readonly url: string; readonly label: string | undefined }
  | { readonly _tag: "user" | "channel"; readonly id: string; readonly label: string | undefined }
  | { readonly _tag: "group"; readonly label: string }
  | { readonly _tag: "emoji"; readonly name: string; readonly tone: number | undefined }

/** How deep emphasis may nest; deeper marks are text. */
const deepest = 5

const unescaped = (text: string): string =>
  text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")

const textNode = (text: string): ReadonlyArray<Node> => (text === "" ? [] : [{ _tag: "text", text: unescaped(text) }])

/** Returns an address as a browser requests it; undefined unless it is http, https or mailto. */
export const addressOf = (text: string): string | undefined => {
  try {
    const { href, protocol } = new URL(text)
    return /^(?:https?|mailto):$/.test(protocol) ? href : undefined
  } catch {
    return undefined
  }
}

/** Parses `<inside>`. */
const reference = (inside: string): Node => {
  const bar = inside.indexOf("|")
  const target = bar === -1 ? inside : inside.slice(0, bar)
  const label = bar === -1 || bar === inside.length - 1 ? undefined : unescaped(inside.slice(bar + 1))
  const id = target.slice(1)
  switch (target.charAt(0)) {
    case "@":
      return { _tag: "user", id, label }
    case "#":
      return { _tag: "channel", id, label }
    case "!":
      return { _tag: "group", label: label ?? `@${id.replace(/\^.*$/s, "")}` }
    default: {
      const url = addressOf(unescaped(target))
      // An address of another scheme, such as javascript:, does not become a link.
      return url === undefined
        ? { _tag: "text", text: unescaped(`<${inside}>`) }
        : { _tag: "link", url, label: label ?? unescaped(target).replace(/^mailto:/, "") }
    }
  }
}

const inline = new RegExp(
  [
    String.raw`<([^<>\n]+)>`,
    "`([^`\\n]+)`",
    String.raw`(?<![\w:]):([a-z0-9_+'-]{1,100}):(?::skin-tone-([2-6]):)?`,
    String.raw`(?<![\w*])\*(?=\S)([^*\n]+)(?<=\S)\*(?![\w*])`,
    String.raw`(?<![\w_])_(?=\S)([^_\n]+)(?<=\S)_(?![\w_])`,
    String.raw`(?<![\w~])~(?=\S)([^~\n]+)(?<=\S)~(?![\w~])`
  ].join("|"),
  "g"
)

const inlineNodes = (text: string, depth = 0): ReadonlyArray<Node> => {
  const nodes: Array<Node> = []
  let end = 0
  for (const found of text.matchAll(inline)) {
    const [whole, inside, code, emoji, tone, bold, italic, strike] = found
    nodes.push(...textNode(text.slice(end, found.index)))
    end = found.index + whole.length
    const nested = bold ?? italic ?? strike
    if (inside !== undefined) nodes.push(reference(inside))
    else if (code !== undefined) nodes.push({ _tag: "code", text: unescaped(code) })
    else if (emoji !== undefined) {
      nodes.push({ _tag: "emoji", name: emoji, tone: tone === undefined ? undefined : Number(tone) })
    } else if (nested === undefined || depth >= deepest) nodes.push(...textNode(whole))
    else {
      const _tag = bold !== undefined ? "bold" : italic !== undefined ? "italic" : "strike"
      nodes.push({ _tag, children: inlineNodes(nested, depth + 1) })
    }
  }
  return [...nodes, ...textNode(text.slice(end))]
}

/** Parses lines. Those that begin with `>` are quotes. A line break stays in the text. */
const lineNodes = (text: string): ReadonlyArray<Node> => {
  const nodes: Array<Node> = []
  let plain: Array<string> = []
  let quoted: Array<string> = []
  const end = () => {
    if (plain.length > 0) nodes.push(...inlineNodes(plain.join("\n")))
    if (quoted.length > 0) nodes.push({ _tag: "quote", children: inlineNodes(quoted.join("\n")) })
    plain = []
    quoted = []
  }
  for (const line of text.split("\n")) {
    const quote = /^(?:&gt;|>) ?(.*)$/s.exec(line)?.[1]
    if ((quote === undefined ? quoted : plain).length > 0) end()
    if (quote === undefined) plain.push(line)
    else quoted.push(quote)
  }
  end()
  return nodes
}

/** Parses a message's text. */
export const parse = (text: string): ReadonlyArray<Node> =>
  // Every second piece is between fences. A fence without an end is text.
  text.split(/```([\s\S]*?)```/).flatMap((piece, index): ReadonlyArray<Node> => {
    if (index % 2 === 1) return [{ _tag: "block", text: unescaped(piece).replace(/^\n/, "") }]
    return piece === "" ? [] : lineNodes(piece)
  })

/** The names of users and channels, by their ids. */
export type Names = Readonly<Record<string, string>>

/** Returns the character for an emoji's name; undefined for a custom emoji. */
export type Emoji = (name: string, tone?: number) => string | undefined

/** Formats a mention: by its label, the name for its id, or the id. */
export const mentionOf = (node: Extract<Node, { _tag: "user" | "channel" }>, names: Names): string => {
  const name = Object.hasOwn(names, node.id) ? names[node.id] : undefined
  return `${node._tag === "user" ? "@" : "#"}${name ?? node.label ?? node.id}`
}

const plainOf = (node: Node, names: Names, emoji: Emoji): string => {
  switch (node._tag) {
    case "text":
    case "code":
    case "block":
      return node.text
    case "bold":
    case "italic":
    case "strike":
    case "quote":
      return node.children.map((child) => plainOf(child, names, emoji)).join("")
    case "link":
      return node.label ?? node.url
    case "user":
    case "channel":
      return mentionOf(node, names)
    case "group":
      return node.label
    case "emoji":
      return emoji(node.name, node.tone) ?? `:${node.name}:`
  }
}

/** Returns the text without markup, on one line: for a title. */
export const plain = (text: string, names: Names, emoji: Emoji): string =>
  parse(text)
    .map((node) => plainOf(node, names, emoji))
    .join("")
    .replaceAll(/\s+/g, " ")
    .trim()
