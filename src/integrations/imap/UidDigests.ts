/**
 * Digests of the messages in a mailbox, for servers that do not report deletions or changed flags. UIDs are divided
 * into at most 128 blocks of equal size. Comparing a block's digest with that of the last poll shows whether a message
 * in it was deleted, or has other flags: only the messages of such blocks are examined.
 */
import { createHash } from "node:crypto"
import * as Arr from "effect/Array"
import { maxAsked } from "./ListingPages.ts"

const maxBlocks = 128
const minSize = 512
/** The length of a digest, in characters of base64url: 48 bits. */
const digestLength = 8

/** A message in a walk through the mailbox. Flags are undefined if they were not requested. */
export interface Seen {
  readonly uid: number
  readonly flags?: ReadonlyArray<string> | undefined
}

interface Digests {
  readonly size: number
  readonly uids: string
  readonly flags?: string
}

/**
 * Returns the number of UIDs in a block, so that the UIDs below `next` fill at most 128 blocks. It is a power of two,
 * so that it rarely changes.
 */
const sizeFor = (next: number): number => {
  let size = minSize
  while (size * maxBlocks < next) size *= 2
  return size
}

interface Block<out A extends Seen> {
  readonly index: number
  /** The first UID of the block, and the first one after it. */
  readonly from: number
  readonly to: number
  /** The messages of the block, ascending by UID. */
  readonly messages: ReadonlyArray<A>
}

/** Returns all blocks up to `next`. `messages` ascend by UID. */
export const blocksOf = <A extends Seen>(messages: ReadonlyArray<A>, next: number): ReadonlyArray<Block<A>> => {
  const size = sizeFor(next)
  const blocks: Array<Block<A>> = []
  let at = 0
  for (let index = 0; index * size < next; index++) {
    const to = (index + 1) * size
    const start = at
    while ((messages[at]?.uid ?? to) < to) at++
    blocks.push({ index, from: Math.max(1, index * size), to: Math.min(to, next), messages: messages.slice(start, at) })
  }
  return blocks
}

/** UIDs from `from` to before `to`, which one page compares. */
export interface Range {
  readonly from: number
  readonly to: number
}

/** Splits the UIDs of a block into ranges of a page each. If only flags are wanted, only the span of its messages. */
export function* rangesOf({ from, messages, to }: Block<Seen>, isWhole: boolean): Generator<Range> {
  if (isWhole) for (let at = from; at < to; at += maxAsked) yield { from: at, to: Math.min(at + maxAsked, to) }
  else {
    for (const chunk of Arr.chunksOf(messages, maxAsked)) {
      yield { from: chunk[0]?.uid ?? from, to: (chunk.at(-1)?.uid ?? from) + 1 }
    }
  }
}

const digest = (lines: Iterable<string>): string => {
  const hash = createHash("sha256")
  for (const line of lines) hash.update(line)
  return hash.digest("base64url").slice(0, digestLength)
}

const uidsOf = ({ messages }: Block<Seen>): string => digest(messages.map(({ uid }) => `${uid},`))

const flagsOf = ({ messages }: Block<Seen>): string =>
  digest(messages.map(({ flags = [], uid }) => `${uid} ${flags.join(" ")}\n`))

const digestAt = (text: string, index: number): string => text.slice(index * digestLength, (index + 1) * digestLength)

/** Returns the digests of all blocks. */
export const digestsOf = (blocks: ReadonlyArray<Block<Seen>>, next: number, withFlags: boolean): Digests => ({
  size: sizeFor(next),
  uids: blocks.map(uidsOf).join(""),
  ...(withFlags ? { flags: blocks.map(flagsOf).join("") } : {})
})

/**
 * Returns whether the UIDs, the flags, or both of a block may differ. Without digests of the same block size, both may.
 */
export const differences = (
  block: Block<Seen>,
  before: Digests | undefined,
  now: Digests
): { readonly uids: boolean; readonly flags: boolean } => {
  const isComparable = before?.size === now.size
  const differs = (old: string | undefined, current: string | undefined) =>
    current !== undefined &&
    (!isComparable || old === undefined || digestAt(old, block.index) !== digestAt(current, block.index))
  return { uids: differs(before?.uids, now.uids), flags: differs(before?.flags, now.flags) }
}

/** Returns the digests of `now` for the blocks up to `index`, and those of `before` for the others. */
export const upTo = (index: number, before: Digests | undefined, now: Digests): Digests => {
  const mix = (old: string | undefined, current: string): string => {
    const done = current.slice(0, (index + 1) * digestLength)
    // A block that was never compared has a digest that equals no other.
    const rest = before?.size === now.size && old !== undefined ? old.slice(done.length) : ""
    return done + rest.padEnd(current.length - done.length, "-")
  }
  return {
    size: now.size,
    uids: mix(before?.uids, now.uids),
    ...(now.flags === undefined ? {} : { flags: mix(before?.flags, now.flags) })
  }
}
