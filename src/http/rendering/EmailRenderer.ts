/**
 * Renders a stored email, or a Markdown file, as a page that runs nothing and loads nothing. Three independent layers
 * ensure that:
 * - `Sanitizer.ts` rebuilds the HTML from harmless elements;
 * - the page's policy allows nothing to run or load, and puts the page into a sandbox: no scripts, no forms, no popups,
 *   no navigation of the surrounding page;
 * - the dashboard shows the page in a frame with a sandbox of its own.
 *
 * The sandboxes keep our origin, so that the dashboard can measure the height of the page. A separate origin would
 * protect against scripts of the page, but none can run: both sandboxes and `default-src 'none'` forbid them, including
 * inline scripts and `javascript:` addresses.
 *
 * Emails are read in worker processes: see `EmailHandlers.ts`.
 */
import { marked } from "marked"
import type { Attachment, Email as Parsed } from "postal-mime"
import * as EmailParser from "../../mail/EmailParser.ts"
import * as Headers from "../../mail/Headers.ts"
import type { EmailParts } from "./EmailEndpoints.ts"
import { bytesOf, plain, sanitized, type Sanitized } from "./Sanitizer.ts"

/** The largest email that is shown, in bytes. Larger ones can be downloaded. */
export const longest = 10_000_000

/** The most characters of HTML and of text that are shown. Sanitizing a million characters takes about a second. */
const longestHtml = 2_000_000
const longestText = 1_000_000

export const contentSecurityPolicy =
  "sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

interface Email {
  readonly headers: Headers.Headers
  readonly parsed: Parsed
  readonly safe: Sanitized | undefined
}

/** Reads an email. Rejects if the bytes can't be read as an email, for example because its parts nest too deeply. */
const read = async (bytes: Uint8Array): Promise<Email> => {
  const parsed = await EmailParser.parse(bytes)
  const { html } = parsed
  const isShown = html !== undefined && html.trim() !== "" && html.length <= longestHtml
  return {
    headers: Headers.read(bytes),
    parsed,
    safe: isShown ? sanitized(html, parsed.attachments) : undefined
  }
}

/** A question about an email: a page, its parts, or one attachment. */
export type Question =
  | { readonly _tag: "page"; readonly as: "html" | "text" }
  | { readonly _tag: "parts" }
  /** The bytes are Markdown instead of an email. */
  | { readonly _tag: "markdown"; readonly title: string }
  | { readonly _tag: "attachment"; readonly index: number }

export interface Answers {
  readonly page: string
  readonly parts: EmailParts
  readonly markdown: string
  readonly attachment: { readonly bytes: Uint8Array; readonly mediaType: string; readonly name: string } | undefined
}

export const answer = async (bytes: Uint8Array, question: Question): Promise<Answers[Question["_tag"]]> => {
  if (question._tag === "markdown") return markdownPage(bytes, question.title)
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

// ---- the pages ---------------------------------------------------------------------------------------------------

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** Makes a page with a white background, for which emails are written. */
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

const subjectOf = ({ headers }: Email): string => plain(headers.subject ?? "", 1000)

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

/** Renders the HTML of an email, or its text if it has no HTML that can be shown. */
const htmlPage = (email: Email): string =>
  email.safe === undefined ? textPage(email) : page(subjectOf(email), email.safe.html)

/** Renders Markdown. It may contain HTML, so it is sanitized like an email. */
const markdownPage = (bytes: Uint8Array, title: string): string => {
  const text = new TextDecoder().decode(bytes)
  const html = marked.parse(text.slice(0, longestText), { async: false, gfm: true })
  return page(plain(title, 1000), sanitized(html, []).html)
}

// ---- the parts ---------------------------------------------------------------------------------------------------

const person = ({ address, name }: Headers.Mailbox): string => {
  const shown = plain(name, 200)
  if (address === "") return shown
  return shown === "" ? plain(address, 320) : `${shown} <${plain(address, 320)}>`
}

const people = (all: ReadonlyArray<Headers.Mailbox> | undefined): string | null => {
  if (all === undefined || all.length === 0) return null
  const more = all.length > 50 ? `, and ${all.length - 50} more` : ""
  return `${all.slice(0, 50).map(person).join(", ")}${more}`
}

const nameOf = ({ filename, mimeType }: Attachment, index: number): string => {
  const name = plain(filename ?? "", 255)
  return name === "" ? `part ${index + 1} (${plain(mimeType, 100)})` : name
}

const parts = (email: Email): EmailParts => {
  const { headers, parsed, safe } = email
  return {
    subject: subjectOf(email) || null,
    from: people(headers.from === undefined ? undefined : [headers.from]),
    to: people(headers.to),
    cc: people(headers.cc),
    date: headers.date ?? null,
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

/** Returns the attachment with this number, as listed by `parts`. */
const attachmentOf = (email: Email, index: number): Answers["attachment"] => {
  const attachment = email.parsed.attachments[index]
  return attachment === undefined
    ? undefined
    : { bytes: bytesOf(attachment), mediaType: attachment.mimeType, name: nameOf(attachment, index) }
}
