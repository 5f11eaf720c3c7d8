/**
 * Detects signs of a deleted message, which Slack's responses do not report directly: a pass over a history has another
 * tally than the last one, or a parent is no longer among the newest ones. A complete pass then finds which message was
 * deleted.
 */
import { digest } from "./CanonicalJson.ts"
import type { Tally } from "./Checkpoint.ts"
import type { Message } from "./Message.ts"
import { compareTs } from "./Timestamp.ts"

/** Returns the tally of no messages, for messages up to this one. */
export const noTally = (upTo: string): Tally => ({ upTo, count: 0, sum: 0 })

/** Adds a message to a tally, unless it is newer than the tally's bound. The sum stays within 32 bits. */
export const tallied = (tally: Tally, ts: string): Tally =>
  compareTs(ts, tally.upTo) > 0
    ? tally
    : { ...tally, count: tally.count + 1, sum: (tally.sum + Number.parseInt(digestHex(ts), 16)) % 0x1_0000_0000 }

/** Removes a deleted message that a tally had counted. */
export const untallied = (tally: Tally, ts: string): Tally => {
  if (compareTs(ts, tally.upTo) > 0) return tally
  const sum = (tally.sum - Number.parseInt(digestHex(ts), 16) + 0x1_0000_0000) % 0x1_0000_0000
  return { ...tally, count: tally.count - 1, sum }
}

const digestHex = (ts: string) => Buffer.from(digest(ts), "base64url").subarray(0, 4).toString("hex")

/** How many of the newest parents a digest covers: half of a visit's first response. */
const digested = 100

const digestOf = (messages: ReadonlyArray<Message>) => digest(messages.map((message) => message.ts).join()).slice(0, 6)

/** Returns the digest of the newest parents; undefined if the response does not contain enough of them. */
export const parentsDigest = (parents: ReadonlyArray<Message>, complete: boolean): string | undefined =>
  parents.length < digested && !complete ? undefined : digestOf(parents.slice(0, digested))

/**
 * Returns true if one of the parents covered by `before` has been deleted. If none was, these parents still follow each
 * other after the `fresh` ones, which may be new. Returns false if the response does not reach far enough to tell.
 */
export const hasVanished = (
  parents: ReadonlyArray<Message>,
  options: { readonly before: string; readonly fresh: number; readonly complete: boolean }
): boolean => {
  const last = options.complete ? parents.length : parents.length - digested
  if (options.fresh > last) return false
  for (let start = 0; start <= options.fresh; start++) {
    if (digestOf(parents.slice(start, start + digested)) === options.before) return false
  }
  return true
}
