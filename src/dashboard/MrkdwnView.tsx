/** Shows Slack's mrkdwn as elements of the page. The browser treats all of it as text. */
import type { ComponentChildren } from "preact"
import { useEffect, useState } from "preact/hooks"
import * as Emoji from "./Emoji.ts"
import { contentPath } from "./Location.ts"
import * as Mrkdwn from "./Mrkdwn.ts"

const noEmoji: Mrkdwn.Emoji = () => undefined
let loaded: Mrkdwn.Emoji | undefined

/** Returns the emoji. Their names are a third of the page's script, so they are loaded only if a text has an emoji. */
const useEmoji = (text: string): Mrkdwn.Emoji => {
  const [emoji, setEmoji] = useState<Mrkdwn.Emoji>(() => loaded ?? noEmoji)
  const isNeeded = loaded === undefined && /:[a-z0-9_+'-]+:/.test(text)
  useEffect(() => {
    if (!isNeeded) {
      setEmoji(() => loaded ?? noEmoji)
      return
    }
    void import("emojibase-data/en/shortcodes/iamcal.json").then(({ default: names }) => {
      loaded ??= Emoji.make(names)
      setEmoji(() => loaded ?? noEmoji)
    })
  }, [isNeeded])
  return emoji
}

interface Context {
  readonly connection: string
  readonly names: Mrkdwn.Names
  readonly emoji: Mrkdwn.Emoji
}

/** Returns the host of a link, unless its label is the address: a label could name another host. */
const hostOf = ({ label, url }: { readonly label: string | undefined; readonly url: string }): string | undefined => {
  const { host, protocol } = new URL(url)
  const isShown = label === undefined || protocol === "mailto:" || Mrkdwn.addressOf(label) === url
  return isShown ? undefined : host
}

const Children = ({ context, nodes }: { readonly context: Context; readonly nodes: ReadonlyArray<Mrkdwn.Node> }) => (
  <>
    {nodes.map((node, index) => (
      // oxlint-disable-next-line react/no-array-index-key -- nodes have no other name
      <One key={index} context={context} node={node} />
    ))}
  </>
)

interface EmojiProps {
  readonly context: Context
  readonly name: string
  readonly tone: number | undefined
}

const EmojiView = ({ context, name, tone }: EmojiProps) => {
  const character = context.emoji(name, tone)
  return character === undefined ? (
    <>:{name}:</>
  ) : (
    <span role="img" aria-label={name.replaceAll("_", " ")} title={`:${name}:`}>
      {character}
    </span>
  )
}

const One = ({ context, node }: { readonly context: Context; readonly node: Mrkdwn.Node }): ComponentChildren => {
  switch (node._tag) {
    case "text":
      return node.text
    case "bold":
      return <strong>{<Children context={context} nodes={node.children} />}</strong>
    case "italic":
      return <em>{<Children context={context} nodes={node.children} />}</em>
    case "strike":
      return <s>{<Children context={context} nodes={node.children} />}</s>
    case "quote":
      return <blockquote>{<Children context={context} nodes={node.children} />}</blockquote>
    case "code":
      return <code>{node.text}</code>
    case "block":
      return <pre>{node.text}</pre>
    case "group":
      return <span class="mention">{node.label}</span>
    case "emoji":
      return <EmojiView context={context} name={node.name} tone={node.tone} />
    case "user":
    case "channel":
      return (
        <a class="mention" href={`#${contentPath(context.connection, `${node._tag}s/${node.id}`)}`}>
          {Mrkdwn.mentionOf(node, context.names)}
        </a>
      )
    case "link": {
      const host = hostOf(node)
      return (
        <>
          <a href={node.url} title={node.url} target="_blank" rel="noopener noreferrer">
            {node.label ?? node.url}
          </a>
          {host === undefined ? null : <span class="quiet-text"> ({host})</span>}
        </>
      )
    }
  }
}

interface MrkdwnProps {
  readonly text: string
  /** The id of the connection to which mentioned users and channels belong. */
  readonly connection: string
  readonly names: Mrkdwn.Names
}

export const Text = ({ connection, names, text }: MrkdwnProps) => {
  const emoji = useEmoji(text)
  return <Children context={{ connection, names, emoji }} nodes={Mrkdwn.parse(text)} />
}

/** Shows a title without markup. Titles of contents that are not in mrkdwn stay unchanged. */
export const Title = ({ of }: { readonly of: TitledContent }) => {
  const title = of.title ?? of.externalId
  const isMrkdwn = of.title !== null && of.kind === "message" && of.in !== null
  const emoji = useEmoji(isMrkdwn ? title : "")
  return <>{isMrkdwn ? Mrkdwn.plain(title, of.names, emoji) : title}</>
}

interface TitledContent {
  readonly externalId: string
  readonly title: string | null
  readonly kind: string | null
  readonly in: string | null
  readonly names: Mrkdwn.Names
}
