/**
 * A stored email as a page that runs nothing and loads nothing, whoever wrote the email.
 *
 * Each of these holds by itself:
 * - the HTML is rebuilt of elements, attributes and styles that are known to be harmless (sanitize-html), and all else is
 *   left out: scripts, handlers, forms, frames, style sheets, whatever names an address;
 * - the page's policy lets nothing be run or loaded, and puts it in a sandbox: an origin of its own, no scripts, no forms,
 *   no popups, no way to the page around it;
 * - the dashboard shows it in a frame with a sandbox of its own, which allows nothing either.
 *
 * It is read in a thread of its own (`EmailReader.ts`). Links are inert. In such a frame they could only be followed with `allow-popups`, and then a click on what looks like
 * one address would go to another. They are listed beside the frame instead, with their whole addresses.
 */
import PostalMime, { type Address, type Attachment, type Email as Parsed } from "postal-mime"
import sanitize from "sanitize-html"
import type { EmailParts } from "./EmailEndpoints.ts"

/** Bytes of an email that is shown. A larger one is downloaded. */
export const longest = 10_000_000

/** Characters of HTML, and of text, that are shown: what is rebuilt takes a second a million, and more where it is odd. */
const longestHtml = 2_000_000
const longestText = 1_000_000

/** Bytes of pictures that are put into the page. */
const mostPictures = 8_000_000

const mostLinks = 200

export const contentSecurityPolicy =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

/** The email with its HTML made harmless. */
interface Email {
  readonly parsed: Parsed
  readonly safe: Safe | undefined
}

interface Safe {
  readonly html: string
  readonly blocked: number
  readonly links: EmailParts["links"]
  /** The attachments that are shown within it. */
  readonly shown: ReadonlySet<Attachment>
}

/** Rejects where it can't be read as an email: parts within parts beyond all bounds, for one. */
const read = async (bytes: Uint8Array): Promise<Email> => {
  const parsed = await PostalMime.parse(bytes, {
    maxNestingDepth: 50,
    maxHeadersSize: 512 * 1024,
    rfc822Attachments: true
  })
  const { html } = parsed
  const isShown = html !== undefined && html.trim() !== "" && html.length <= longestHtml
  return { parsed, safe: isShown ? harmless(html, parsed.attachments) : undefined }
}

/** What can be asked of an email: a page of it, what it consists of, one of its attachments. */
export type Question =
  | { readonly _tag: "page"; readonly as: "html" | "text" }
  | { readonly _tag: "parts" }
  | { readonly _tag: "attachment"; readonly index: number }

export interface Answers {
  readonly page: string
  readonly parts: EmailParts
  readonly attachment: { readonly bytes: Uint8Array; readonly mediaType: string; readonly name: string } | undefined
}

export const answer = async (bytes: Uint8Array, question: Question): Promise<Answers[Question["_tag"]]> => {
  const email = await read(bytes)
  switch (question._tag) {
    case "page":
      return question.as === "html" ? htmlPage(email) : textPage(email)
    case "parts":
      return parts(email)
    case "attachment":
      return attachmentOf(email, question.index)
  }
}

const bytesOf = ({ content }: Attachment): Uint8Array =>
  typeof content === "string" ? Buffer.from(content) : new Uint8Array(content)

// ---- the HTML ----------------------------------------------------------------------------------------------------

const elements = [
  ..."a abbr address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn div".split(
    " "
  ),
  ..."dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark ol p pre q s samp".split(
    " "
  ),
  ..."section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr".split(" ")
]

/** Elements that are left out with all that stands in them. */
const withText =
  "script style textarea option title noscript noembed noframes template xmp iframe object embed applet svg math select audio video canvas".split(
    " "
  )

/** No function but these can load anything or reach for what is around; no escape can spell one. */
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

/** Pictures that a browser only paints. */
const picture = /^image\/(?:avif|gif|jpeg|png|webp)$/
const embedded = /^data:image\/(?:avif|gif|jpeg|png|webp);base64,[A-Za-z0-9+/=\s]*$/i

/** What shows text in another order than it has, or nothing at all. */
const misleading = /[\p{Control}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/gu

/** One line of plain text of what somebody else wrote, at most so many characters. */
const plain = (text: string, most: number): string => {
  const line = text.replaceAll(misleading, " ").replaceAll(/\s+/g, " ").trim()
  return line.length > most ? `${line.slice(0, most).trimEnd()}…` : line
}

/** Where a link leads to, spelled as a browser would ask for it; undefined for any other than these kinds. */
const addressOf = (href: string | undefined): string | undefined => {
  const url = URL.parse((href ?? "").trim())
  return url !== null && /^(?:https?|mailto):$/.test(url.protocol) && url.href.length <= 2000 ? url.href : undefined
}

/** Whether an element or its style would load something from elsewhere. */
const loads = (name: string, attributes: Readonly<Record<string, string>>): boolean =>
  (name === "link" && attributes["href"] !== undefined) ||
  (/^(?:audio|embed|iframe|input|object|source|video)$/.test(name) &&
    (attributes["src"] ?? attributes["srcset"] ?? attributes["data"] ?? attributes["poster"]) !== undefined) ||
  attributes["background"] !== undefined ||
  /url\s*\(|image-set\s*\(/i.test(attributes["style"] ?? "")

const harmless = (html: string, attachments: ReadonlyArray<Attachment>): Safe => {
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
        // What stands for an element's text is escaped as it is put there.
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

// ---- the pages ---------------------------------------------------------------------------------------------------

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** Mail is written for white paper. */
const page = (title: string, body: string): string => `<!doctype html>
<html lang="">
<head>
<meta charset="utf-8">
<meta name="color-scheme" content="light">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>
body { margin: 16px; background: #fff; color: #1c1f1e; font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
img { max-width: 100%; height: auto }
table { max-width: 100% }
pre { white-space: pre-wrap }
body > pre:only-child { font: inherit; margin: 0 }
a { text-decoration: underline }
</style>
</head>
<body>
${body}
</body>
</html>
`

const subjectOf = ({ parsed }: Email): string => plain(parsed.subject ?? "", 1000)

const textPage = (email: Email): string => {
  const text = email.parsed.text ?? ""
  const shown =
    text.trim() === ""
      ? "This email has no text. Its source can be downloaded."
      : text.length > longestText
        ? `${text.slice(0, longestText)}\n\n… The rest is too long to be shown: download the email.`
        : text
  return page(subjectOf(email), `<pre>${escaped(shown)}</pre>`)
}

/** Its HTML, or its text where it has none that can be shown. */
const htmlPage = (email: Email): string =>
  email.safe === undefined ? textPage(email) : page(subjectOf(email), email.safe.html)

// ---- the parts ---------------------------------------------------------------------------------------------------

const person = ({ address, name }: Address): string => {
  const shown = plain(name, 200)
  if (address === undefined) return shown
  return shown === "" ? plain(address, 320) : `${shown} <${plain(address, 320)}>`
}

const people = (list: ReadonlyArray<Address> | undefined): string | null => {
  if (list === undefined || list.length === 0) return null
  const all = list.flatMap((each): ReadonlyArray<Address> => each.group ?? [each])
  const more = all.length > 50 ? `, and ${all.length - 50} more` : ""
  return `${all.slice(0, 50).map(person).join(", ")}${more}`
}

const nameOf = ({ filename, mimeType }: Attachment, index: number): string => {
  const name = plain(filename ?? "", 255)
  return name === "" ? `part ${index + 1} (${plain(mimeType, 100)})` : name
}

const parts = (email: Email): EmailParts => {
  const { parsed, safe } = email
  return {
    subject: subjectOf(email) || null,
    from: people(parsed.from === undefined ? undefined : [parsed.from]),
    to: people(parsed.to),
    cc: people(parsed.cc),
    date: parsed.date === undefined ? null : plain(parsed.date, 100),
    html: safe !== undefined,
    text: (parsed.text ?? "").trim() !== "",
    blocked: safe?.blocked ?? 0,
    links: safe?.links ?? [],
    attachments: parsed.attachments.flatMap((attachment, index) =>
      safe?.shown.has(attachment) === true
        ? []
        : [
            {
              part: String(index),
              name: nameOf(attachment, index),
              mediaType: plain(attachment.mimeType, 100),
              size: bytesOf(attachment).length
            }
          ]
    )
  }
}

/** The attachment of this number, as `parts` gives it. */
const attachmentOf = (email: Email, index: number): Answers["attachment"] => {
  const attachment = email.parsed.attachments[index]
  return attachment === undefined
    ? undefined
    : { bytes: bytesOf(attachment), mediaType: attachment.mimeType, name: nameOf(attachment, index) }
}
