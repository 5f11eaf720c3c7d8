/**
 * Signs that a message was deleted, which Slack's answers do not tell: a pass over a history that counts fewer messages
 * or others than the last one, and a parent that is no longer among the newest ones. A complete pass then finds which.
 */
import { digest } from "./CanonicalJson.ts"
import type { Tally } from "./Checkpoint.ts"
import type { Message } from "./Message.ts"
import { compareTs } from "./Timestamp.ts"

/** The tally of no messages. It counts messages up to this one. */
export const noTally = (upTo: string): Tally => ({ upTo, count: 0, sum: 0 })

/** Counts a message, if it is not newer than the tally's bound. The sum stays within 32 bits. */
export const tallied = (tally: Tally, ts: string): Tally =>
  compareTs(ts, tally.upTo) > 0
    ? tally
    : { ...tally, count: tally.count + 1, sum: (tally.sum + Number.parseInt(digestHex(ts), 16)) % 0x1_0000_0000 }

/** The tally without a message that it counted and that is gone. */
export const untallied = (tally: Tally, ts: string): Tally => {
  if (compareTs(ts, tally.upTo) > 0) return tally
  const sum = (tally.sum - Number.parseInt(digestHex(ts), 16) + 0x1_0000_0000) % 0x1_0000_0000
  return { ...tally, count: tally.count - 1, sum }
}

const digestHex = (ts: string) => Buffer.from(digest(ts), "base64url").subarray(0, 4).toString("hex")

/** How many of the newest parents a digest stands for: half of what the first answer of a visit has. */
const digested = 100

const digestOf = (messages: ReadonlyArray<Message>) => digest(messages.map((message) => message.ts).join()).slice(0, 6)

/** The digest of the newest parents; undefined where there are more of them than the answer gave. */
export const parentsDigest = (parents: ReadonlyArray<Message>, complete: boolean): string | undefined =>
  parents.length < digested && !complete ? undefined : digestOf(parents.slice(0, digested))

/**
 * True if one of the parents that `before` stands for has vanished: if nothing has, these still follow each other
 * somewhere behind the `fresh` ones, which may have come since. False where the answer does not reach far enough to
 * tell.
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
