/**
 * The state between polls:
 *
 * - the checkpoint: the present or last pass;
 * - a part for each mailbox: what is known of it;
 * - parts with the directory: the prefixes of external ids that may have stored messages. A pass covers a prefix
 *   without a mailbox (the mailbox was removed or renamed, or its UIDVALIDITY changed).
 *
 * `Changes.ts` notices a change of UIDVALIDITY, and `Listing.ts` then lists the mailbox under its new ids.
 */
import * as Schema from "effect/Schema"
import type { PartMove } from "../../contract/Parts.ts"
import type { Mailbox } from "./Mailboxes.ts"
import * as Names from "./Names.ts"

/**
 * A pass lists the mailboxes that are not yet listed completely. The first pass lists all mailboxes, and covers
 * everything; later ones cover the prefixes that no longer have a mailbox.
 */
export const Checkpoint = Schema.Struct({
  pass: Schema.Int,
  /** True until the pass is complete. */
  open: Schema.Boolean,
  /** True for the pass that lists everything. */
  whole: Schema.Boolean,
  /** The number of parts of the directory. */
  directory: Schema.Int
})
export type Checkpoint = typeof Checkpoint.Type

export const MailboxPart = Schema.Struct({
  validity: Schema.String,
  /** Messages with this UID and higher ones are new. */
  next: Schema.Int,
  /** The number of messages at the last poll. Together with the number of new ones, it shows how many were deleted. */
  messages: Schema.Int,
  /** Flags are known up to this mod-sequence. */
  modseq: Schema.optionalKey(Schema.String),
  unseen: Schema.optionalKey(Schema.Int),
  /** Messages below this UID are still to be listed; absent if all are listed. */
  below: Schema.optionalKey(Schema.Int),
  /** The pass that last listed the mailbox. */
  pass: Schema.Int,
  /**
   * The progress of reading changes: those up to this UID, and up to mod-sequence `until`, have been read. The others
   * follow.
   */
  read: Schema.optionalKey(Schema.Struct({ uid: Schema.Int, until: Schema.String })),
  /** When all UIDs and flags were last read, in milliseconds since 1970. */
  walked: Schema.optionalKey(Schema.Int),
  /** The number of UIDs in a block, and digests of each block: of its UIDs, and of their flags. See UidDigests.ts. */
  blocks: Schema.optionalKey(
    Schema.Struct({ size: Schema.Int, uids: Schema.String, flags: Schema.optionalKey(Schema.String) })
  ),
  /**
   * Set while a known mailbox is listed again, until a pass has ended with it.
   *
   * - `rewound`: UIDNEXT decreased, so UIDs may have been assigned twice. No message counts as known, and nothing is
   *   deleted, because the server may have shown an old state. The next poll lists the mailbox once more, as `differs`.
   * - `differs`: the pass deletes messages that it does not show.
   */
  anew: Schema.optionalKey(Schema.Literals(["rewound", "differs"])),
  /** True while the mailbox is listed as empty and nothing else confirms that. */
  doubted: Schema.optionalKey(Schema.Boolean)
})
export type MailboxPart = typeof MailboxPart.Type

/** A prefix, and the pass that listed it. */
const Prefix = Schema.Struct({ prefix: Schema.String, pass: Schema.Int })

const DirectoryPart = Schema.Struct({ prefixes: Schema.Array(Prefix) })

export const Part = Schema.Union([MailboxPart, DirectoryPart])
export type Part = typeof Part.Type

export type Move = PartMove<Part>

export const isMailbox = (part: Part | undefined): part is MailboxPart => part !== undefined && "validity" in part

/** How often all flags are read from servers that do not report changes. */
const walkMillis = 3_600_000

/** Returns true if STATUS shows no change since the part was stored. */
export const isIdle = ({ status }: Mailbox, part: MailboxPart, now: number): boolean =>
  status.validity === part.validity &&
  status.next === part.next &&
  status.messages === part.messages &&
  part.read === undefined &&
  part.doubted !== true &&
  part.anew === undefined &&
  (part.modseq !== undefined && status.modseq !== undefined
    ? status.modseq === part.modseq
    : // The clock of an earlier poll may have been ahead: a time that is still to come says nothing.
      status.unseen === part.unseen && part.walked !== undefined && Math.abs(now - part.walked) < walkMillis)

/** Returns the part of a mailbox whose messages are all to be listed again, from the highest UID. */
export const listedAnew = (part: MailboxPart, anew: NonNullable<MailboxPart["anew"]>): MailboxPart => {
  const { blocks: _, read: __, ...rest } = part
  return { ...rest, below: Names.maxUid + 1, anew }
}

/** Returns the key of a part of the directory. No mailbox has a name that begins with a slash. */
export const directoryKey = (index: number): string => `/${index}`

/** The most bytes of JSON in a part of the directory: a part may have 4,096. */
const maxDirectoryBytes = 3_500

/** The prefixes that may have stored messages, with the parts that contain them. */
export class PrefixIndex {
  private readonly chunks: Array<Map<string, number>>

  constructor(parts: ReadonlyArray<Part | undefined>) {
    this.chunks = parts.map(
      (part) =>
        new Map(part === undefined || isMailbox(part) ? [] : part.prefixes.map(({ pass, prefix }) => [prefix, pass]))
    )
  }

  get size(): number {
    return this.chunks.length
  }

  get prefixes(): ReadonlyArray<readonly [string, number]> {
    return this.chunks.flatMap((chunk) => [...chunk])
  }

  /** Records that this pass listed this prefix. Returns the moves to commit. */
  add(prefix: string, pass: number): ReadonlyArray<Move> {
    const known = this.chunks.findIndex((chunk) => chunk.has(prefix))
    const bytes = Buffer.byteLength(JSON.stringify(prefix)) + 40
    const free = known >= 0 ? known : this.chunks.findIndex((chunk) => bytesOf(chunk) + bytes <= maxDirectoryBytes)
    const index = free >= 0 ? free : this.chunks.push(new Map()) - 1
    if (this.chunks[index]?.get(prefix) === pass) return []
    this.chunks[index]?.set(prefix, pass)
    return [this.move(index)]
  }

  remove(prefixes: Iterable<string>): ReadonlyArray<Move> {
    const changed = new Set<number>()
    for (const prefix of prefixes) {
      const index = this.chunks.findIndex((chunk) => chunk.delete(prefix))
      if (index >= 0) changed.add(index)
    }
    return [...changed].map((index) => this.move(index))
  }

  private move(index: number): Move {
    const prefixes = Array.from(this.chunks[index] ?? [], ([prefix, pass]) => ({ prefix, pass }))
    return { key: directoryKey(index), checkpoint: { prefixes } }
  }
}

const bytesOf = (chunk: ReadonlyMap<string, number>): number =>
  [...chunk.keys()].reduce((sum, prefix) => sum + Buffer.byteLength(JSON.stringify(prefix)) + 40, 20)
