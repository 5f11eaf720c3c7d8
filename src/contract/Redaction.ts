/** Removes secrets from a source's text, in case the source echoes them. */

/** A secret of at least this length is replaced wherever it occurs; a shorter one only as a separate word. */
const longEnough = 16

/**
 * Matches a short word, such as `login`. It is not replaced: it reveals nothing as a password, and messages need it.
 */
const isCommonWord = (secret: string): boolean => /^\p{L}{0,7}$/u.test(secret)

/** Matches a URL up to the end of its host. The host stays readable. The part before it may be a password. */
const origin = /([a-z][a-z0-9+.-]*:\/\/)([^\s/?#@]*@)?([^\s/?#@"'<>]*)/gi

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")

const patternOf = (secret: string): string => {
  const text = escaped(secret)
  return secret.length >= longEnough ? text : `(?<![\\p{L}\\p{N}_])${text}(?![\\p{L}\\p{N}_])`
}

/** Replaces each secret in the text by `…`. */
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
