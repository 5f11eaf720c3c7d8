/** Removes secrets from a source's text, in case the source echoes them. */

/** From this length on a secret is replaced wherever it stands; a shorter one only as a word of its own. */
const longEnough = 16

/** A short word, like `login`, says nothing about who has it as a password, and messages need it. */
const isCommonWord = (secret: string): boolean => /^\p{L}{0,7}$/u.test(secret)

/** Matches a URL up to the end of its host, which stays readable. The part before the host may be a password. */
const origin = /([a-z][a-z0-9+.-]*:\/\/)([^\s/?#@]*@)?([^\s/?#@"'<>]*)/gi

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")

const patternOf = (secret: string): string => {
  const text = escaped(secret)
  return secret.length >= longEnough ? text : `(?<![\\p{L}\\p{N}_])${text}(?![\\p{L}\\p{N}_])`
}

/** The text with `…` for each secret in it. */
export const redact = (text: string, secrets: Iterable<string>): string => {
  const patterns = Array.from(secrets)
    .filter((secret) => !isCommonWord(secret))
    .toSorted((a, b) => b.length - a.length)
    .map(patternOf)
  if (patterns.length === 0) return text
  const pattern = new RegExp(patterns.join("|"), "gu")
  const hidden = (part: string) => part.replace(pattern, "…")
  let end = 0
  let shown = ""
  for (const match of text.matchAll(origin)) {
    const [whole, scheme = "", user = "", host = ""] = match
    shown += `${hidden(text.slice(end, match.index))}${scheme}${hidden(user)}${host}`
    end = match.index + whole.length
  }
  return shown + hidden(text.slice(end))
}
