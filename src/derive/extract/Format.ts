/** Detects the format of bytes: by their content first, then by the media type, then by the file name. */

export type Format =
  | "mail"
  | "html"
  | "xml"
  | "calendar"
  | "vcard"
  | "text"
  | "pdf"
  | "zip"
  /** Binary Office files before 2007, and encrypted ones since. */
  | "ole"
  | "rtf"
  | "binary"

export interface Hints {
  readonly mediaType: string | undefined
  readonly fileName: string | undefined
}

const startsWith = (bytes: Uint8Array, text: string): boolean =>
  Buffer.from(bytes.subarray(0, text.length)).toString("latin1") === text

/** Matches fields that usually begin an email. A text needs two of them to count as an email. */
const mailField =
  /^(?:arc-seal|authentication-results|bcc|cc|content-type|date|delivered-to|dkim-signature|from|in-reply-to|message-id|mime-version|received|reply-to|return-path|subject|to|x-[\w-]+):/i

const looksLikeMail = (head: string): boolean => {
  const lines = head.replace(/^From .*\r?\n/, "").split(/\r?\n/, 60)
  let fields = 0
  for (const line of lines) {
    if (line === "" || !/^(?:[ \t]|[!-9;-~]+:)/.test(line)) break
    if (mailField.test(line)) fields += 1
  }
  return fields >= 2
}

/** Detects formats by how their bytes begin. Bytes with a NUL are binary, unless `mayHaveNul`. */
const ofContent = (bytes: Uint8Array, mayHaveNul: boolean): Format | undefined => {
  if (startsWith(bytes, "PK\u0003\u0004") || startsWith(bytes, "PK\u0005\u0006")) return "zip"
  if (startsWith(bytes, "\u00d0\u00cf\u0011\u00e0\u00a1\u00b1\u001a\u00e1")) return "ole"
  if (startsWith(bytes, "{\\rtf")) return "rtf"
  const head = Buffer.from(bytes.subarray(0, 4096)).toString("latin1")
  if (head.slice(0, 1024).includes("%PDF-")) return "pdf"
  const isUtf16 = startsWith(bytes, "\u00ff\u00fe") || startsWith(bytes, "\u00fe\u00ff")
  if (head.includes("\0")) return isUtf16 || mayHaveNul ? undefined : "binary"
  const start = head.replace(/^\u00ef\u00bb\u00bf/, "").trimStart()
  if (/^BEGIN:VCALENDAR\b/i.test(start)) return "calendar"
  if (/^BEGIN:VCARD\b/i.test(start)) return "vcard"
  if (/^(?:<!--[\s\S]{0,500}?-->\s*)?<(?:!doctype\s+html|html)\b/i.test(start)) return "html"
  if (/^<\?xml\b/i.test(start)) return /<(?:!doctype\s+html|html)\b/i.test(start.slice(0, 1000)) ? "html" : "xml"
  return looksLikeMail(start) ? "mail" : undefined
}

const ofMediaType = (mediaType: string | undefined): Format | undefined => {
  const type = (mediaType ?? "").replace(/;.*$/s, "").trim().toLowerCase()
  if (type === "message/rfc822" || type === "message/global") return "mail"
  if (type === "text/html" || type === "application/xhtml+xml") return "html"
  if (type === "text/calendar") return "calendar"
  if (type === "text/vcard" || type === "text/x-vcard" || type === "text/directory") return "vcard"
  if (type === "text/xml" || type === "application/xml" || type.endsWith("+xml")) return "xml"
  if (/^(?:audio|image|video|font)\//.test(type)) return "binary"
  return type.startsWith("text/") || /^application\/(?:.*\+)?(?:json|yaml|x-yaml|javascript|sql|x-sh)$/.test(type)
    ? "text"
    : undefined
}

const byExtension: Readonly<Record<string, Format>> = {
  eml: "mail",
  htm: "html",
  html: "html",
  xhtml: "html",
  xml: "xml",
  svg: "binary",
  ics: "calendar",
  vcf: "vcard"
}

export const of = (bytes: Uint8Array, { fileName, mediaType }: Hints): Format => {
  const extension = /\.([A-Za-z0-9]{1,8})$/.exec(fileName ?? "")?.[1]?.toLowerCase() ?? ""
  const declared = ofMediaType(mediaType)
  // Real emails may contain NULs, and UTF-16 text is full of them. Bytes without a NUL and of no other format are text.
  const mayHaveNul = declared === "mail" || /;\s*charset\s*=\s*"?(?:utf-?16|ucs-?2)/i.test(mediaType ?? "")
  return ofContent(bytes, mayHaveNul) ?? declared ?? byExtension[extension] ?? "text"
}
