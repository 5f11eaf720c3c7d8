/**
 * Rebuilds the HTML of an email from elements, attributes and styles that are known to be harmless (sanitize-html).
 * Everything else is removed: scripts, handlers, forms, frames, style sheets, and everything that would load from an
 * address.
 *
 * Links are inert, because a link could show one address and lead to another. They are listed beside the email instead,
 * with their whole addresses.
 */
import type { Attachment } from "postal-mime"
import sanitize from "sanitize-html"
import type { EmailParts } from "./EmailEndpoints.ts"

/** The most bytes of pictures that are embedded in the page. */
const mostPictures = 8_000_000

const mostLinks = 200

export interface Sanitized {
  readonly html: string
  /** The number of elements that would have loaded external content. */
  readonly blocked: number
  readonly links: EmailParts["links"]
  /** The attachments that are shown within the HTML. */
  readonly shown: ReadonlySet<Attachment>
}

export const bytesOf = ({ content }: Attachment): Uint8Array =>
  typeof content === "string" ? Buffer.from(content) : new Uint8Array(content)

const elements = [
  ..."a abbr address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn div".split(
    " "
  ),
  ..."dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark ol p pre q s samp".split(
    " "
  ),
  ..."section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr".split(" ")
]

/** Elements that are removed with their content. */
const withText =
  "script style textarea option title noscript noembed noframes template xmp iframe object embed applet svg math select audio video canvas".split(
    " "
  )

/**
 * Matches values with harmless functions only, which load nothing. An escape could spell another function, so
 * backslashes are refused.
 */
const harmlessValue = /^(?!.*(?<!\b(?:rgb|rgba|hsl|hsla|calc|min|max))\()[^<>{};@\\:]*$/is

const styleNames = [
  ..."background background-color border border-bottom border-bottom-color border-bottom-style border-bottom-width".split(
    " "
  ),
  ..."border-collapse border-color border-left border-left-color border-left-style border-left-width border-radius".split(
    " "
  ),
  ..."border-right border-right-color border-right-style border-right-width border-spacing border-style border-top".split(
    " "
  ),
  ..."border-top-color border-top-style border-top-width border-width box-sizing clear color direction display float".split(
    " "
  ),
  ..."font font-family font-size font-style font-variant font-weight height letter-spacing line-height list-style".split(
    " "
  ),
  ..."list-style-type margin margin-bottom margin-left margin-right margin-top max-height max-width min-height".split(
    " "
  ),
  ..."min-width mso-line-height-rule opacity overflow padding padding-bottom padding-left padding-right padding-top".split(
    " "
  ),
  ..."table-layout text-align text-decoration text-indent text-transform vertical-align visibility white-space".split(
    " "
  ),
  ..."width word-break word-spacing word-wrap".split(" ")
]

const styles = Object.fromEntries(styleNames.map((name) => [name, [harmlessValue]]))

/** Matches pictures that can't contain scripts. */
const picture = /^image\/(?:avif|gif|jpeg|png|webp)$/
const embedded = /^data:image\/(?:avif|gif|jpeg|png|webp);base64,[A-Za-z0-9+/=\s]*$/i

/** Matches characters that are invisible, or that reorder the text around them. */
const misleading = /[\p{Control}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/gu

/** Returns text on one line, without control characters, of at most `most` characters. */
export const plain = (text: string, most: number): string => {
  const line = text.replaceAll(misleading, " ").replaceAll(/\s+/g, " ").trim()
  return line.length > most ? `${line.slice(0, most).trimEnd()}…` : line
}

/** Returns a link's address as a browser would request it; undefined unless it is http, https or mailto. */
const addressOf = (href: string | undefined): string | undefined => {
  const url = URL.parse((href ?? "").trim())
  return url !== null && /^(?:https?|mailto):$/.test(url.protocol) && url.href.length <= 2000 ? url.href : undefined
}

/** Returns true if an element or its style would load external content. */
const loads = (name: string, attributes: Readonly<Record<string, string>>): boolean =>
  (name === "link" && attributes["href"] !== undefined) ||
  (/^(?:audio|embed|iframe|input|object|source|video)$/.test(name) &&
    (attributes["src"] ?? attributes["srcset"] ?? attributes["data"] ?? attributes["poster"]) !== undefined) ||
  attributes["background"] !== undefined ||
  /url\s*\(|image-set\s*\(/i.test(attributes["style"] ?? "")

/** Removes everything from the HTML that runs, loads or navigates. */
export const sanitized = (html: string, attachments: ReadonlyArray<Attachment>): Sanitized => {
  const links = new Map<string, string>()
  const shown = new Set<Attachment>()
  const byId = new Map(
    attachments.flatMap((each) =>
      each.contentId === undefined ? [] : [[each.contentId.replaceAll(/^<|>$/g, ""), each] as const]
    )
  )
  let blocked = 0
  let pictures = 0

  const inPlace = (source: string): string | undefined => {
    if (embedded.test(source)) return source.replaceAll(/\s+/g, "")
    const id = /^cid:(.+)$/is.exec(source)?.[1]
    const found = id === undefined ? undefined : (byId.get(id) ?? byId.get(unescaped(id)))
    if (found === undefined || !picture.test(found.mimeType)) return undefined
    const bytes = bytesOf(found)
    if (pictures + bytes.length > mostPictures) return undefined
    pictures += bytes.length
    shown.add(found)
    return `data:${found.mimeType};base64,${Buffer.from(bytes).toString("base64")}`
  }

  const clean = sanitize(html, {
    allowedTags: elements,
    allowedAttributes: {
      "*": ["align", "bgcolor", "dir", "height", "lang", "style", "title", "valign", "width"],
      font: ["color", "face", "size"],
      img: ["alt", "src"],
      ol: ["start", "type"],
      table: ["border", "cellpadding", "cellspacing"],
      td: ["colspan", "rowspan", "nowrap"],
      th: ["colspan", "rowspan", "nowrap"]
    },
    allowedStyles: { "*": styles },
    allowedSchemes: [],
    allowedSchemesByTag: { img: ["data"] },
    allowProtocolRelative: false,
    nonTextTags: withText,
    enforceHtmlBoundary: false,
    nestingLimit: 200,
    onOpenTag: (name, attributes) => {
      if (loads(name, attributes)) blocked += 1
    },
    transformTags: {
      body: "div",
      a: (_, { href, title: _title, ...rest }) => {
        const url = addressOf(href)
        return { tagName: "a", attribs: url === undefined ? rest : { ...rest, title: url } }
      },
      img: (_, { src, ...rest }) => {
        const source = src === undefined || src.trim() === "" ? undefined : inPlace(src.trim())
        if (source !== undefined) return { tagName: "img", attribs: { ...rest, src: source } }
        if (src !== undefined && src.trim() !== "") blocked += 1
        const alt = plain(rest["alt"] ?? "", 200)
        // sanitize-html escapes this text.
        return { tagName: "span", attribs: {}, ...(alt === "" ? {} : { text: `[${alt}]` }) }
      }
    },
    exclusiveFilter: ({ attribs, tag, text }) => {
      const url = tag === "a" ? attribs["title"] : undefined
      if (url !== undefined && links.size < mostLinks && !links.has(url)) links.set(url, plain(text, 200))
      return false
    }
  })
  return { html: clean, blocked, links: Array.from(links, ([url, text]) => ({ text, url })), shown }
}

const unescaped = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
