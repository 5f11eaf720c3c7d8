/**
 * The state between polls:
 *
 * - the checkpoint: the pass that is open, or was the last one;
 * - a part for each mailbox: what is known of it;
 * - parts with the directory: the prefixes of external ids that may have stored messages. A prefix without a mailbox
 *   (the mailbox was removed or renamed, or its UIDVALIDITY changed) is covered by a pass.
 *
 * `Changes.ts` notices a change of UIDVALIDITY, and `Listing.ts` then lists the mailbox under its new ids.
 */
import * as Schema from "effect/Schema"
import type { PartMove } from "../../contract/Parts.ts"
import type { Mailbox } from "./Mailboxes.ts"
import * as Names from "./Names.ts"

/**
 * A pass lists the mailboxes that were not listed completely yet. The first one lists all, and covers everything; each
 * later one covers the prefixes that no mailbox has any more.
 */
export const Checkpoint = Schema.Struct({
  pass: Schema.Int,
  /** True until the pass is complete. */
  open: Schema.Boolean,
  /** True for the pass that lists everything. */
  whole: Schema.Boolean,
  /** Parts of the directory. */
  directory: Schema.Int
})
export type Checkpoint = typeof Checkpoint.Type

export const MailboxPart = Schema.Struct({
  validity: Schema.String,
  /** Messages with this UID and higher ones were not seen yet. */
  next: Schema.Int,
  /** The number of messages at the last poll. With the new ones, it gives the number of deleted ones. */
  messages: Schema.Int,
  /** Flags are known up to this mod-sequence. */
  modseq: Schema.optionalKey(Schema.String),
  unseen: Schema.optionalKey(Schema.Int),
  /** Messages below this UID are still to be listed; absent once all are. */
  below: Schema.optionalKey(Schema.Int),
  /** The pass that listed it last. */
  pass: Schema.Int,
  /** Changes up to this UID have been read, those up to mod-sequence `until`; the rest of them follow. */
  read: Schema.optionalKey(Schema.Struct({ uid: Schema.Int, until: Schema.String })),
  /** When all UIDs and flags were read last, in milliseconds since 1970. */
  walked: Schema.optionalKey(Schema.Int),
  /** UIDs a block, and a digest of each block: of the UIDs in it, and of their flags. See UidDigests.ts. */
  blocks: Schema.optionalKey(
    Schema.Struct({ size: Schema.Int, uids: Schema.String, flags: Schema.optionalKey(Schema.String) })
  ),
  /**
   * Set while a mailbox that was listed before is listed anew, and until a pass has ended with it.
   *
   * - `rewound`: UIDNEXT fell, so that UIDs may have been given twice. No message counts as known, and nothing is
   *   deleted: the server may have shown an old view. The next poll lists it once more, as one that differs.
   * - `differs`: the pass deletes what it does not show.
   */
  anew: Schema.optionalKey(Schema.Literals(["rewound", "differs"])),
  /** True while the mailbox is listed as empty and nothing else says that it is. */
  doubted: Schema.optionalKey(Schema.Boolean)
})
export type MailboxPart = typeof MailboxPart.Type

/** A prefix and the pass that listed it. */
const Prefix = Schema.Struct({ prefix: Schema.String, pass: Schema.Int })

const DirectoryPart = Schema.Struct({ prefixes: Schema.Array(Prefix) })

export const Part = Schema.Union([MailboxPart, DirectoryPart])
export type Part = typeof Part.Type

export type Move = PartMove<Part>

export const isMailbox = (part: Part | undefined): part is MailboxPart => part !== undefined && "validity" in part

/** How often flags are read of servers that do not tell changes. */
const walkMillis = 3_600_000

/** True where STATUS shows that nothing changed since the part was kept. */
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

/** The part of a mailbox all of whose messages are to be listed again, of UIDs below any. */
export const listedAnew = (part: MailboxPart, anew: NonNullable<MailboxPart["anew"]>): MailboxPart => {
  const { blocks: _, read: __, ...rest } = part
  return { ...rest, below: Names.maxUid + 1, anew }
}

/** The key of a part of the directory. No mailbox has a name that begins with a slash. */
export const directoryKey = (index: number): string => `/${index}`

/** JSON bytes of a part of the directory: a part has at most 4,096. */
const maxDirectoryBytes = 3_500

/** The prefixes under which something may be stored, with the parts that hold them. */
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

  /** The moves that note this prefix as listed by this pass. */
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
