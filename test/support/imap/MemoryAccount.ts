/** An IMAP account in memory, and a client of it that makes no connection, for tests of listings. */
import * as Effect from "effect/Effect"
import type { ImapFlow } from "imapflow"
import * as Capabilities from "../../../src/integrations/imap/Capabilities.ts"
import type * as Client from "../../../src/integrations/imap/Client.ts"
import * as Errors from "../../../src/integrations/server/Errors.ts"

/** How the server reports changes. */
export type Kind = "qresync" | "condstore" | "plain"

interface Message {
  readonly flags: ReadonlyArray<string>
  readonly modseq: number
}

interface Mailbox {
  validity: number
  next: number
  modseq: number
  readonly messages: Map<number, Message>
  readonly expunged: Array<{ readonly uid: number; readonly modseq: number }>
}

/** Returns a check whether a UID is in a sequence set of IMAP. */
const inSet = (set: string) => {
  const ranges = set.split(",").map((range) => range.split(":").map(Number))
  return (uid: number) => ranges.some(([from = 0, to = from]) => uid >= from && uid <= to)
}

const hour = 3_600_000
const day = 24 * hour

/** When the message with this UID was received, in milliseconds since 1970. */
export const receivedOf = (uid: number): number => Date.UTC(2024, 0, 1) + uid * (5 * hour + 1)

/** `zone` is the zone of the server's dates, in hours ahead of UTC. */
export const make = (kind: Kind, zone = 0) => {
  const mailboxes = new Map<string, Mailbox>()
  /** The UIDs of all messages that were fetched. */
  const fetched = new Set<number>()
  /** The commands, without their arguments. */
  const requests: Array<string> = []
  let validities = 0
  const capabilities: Capabilities.Capabilities = {
    ...Capabilities.none,
    listStatus: true,
    qresync: kind === "qresync",
    condstore: kind !== "plain"
  }

  const create = (name: string): Mailbox => {
    const made: Mailbox = { validity: ++validities, next: 1, modseq: 1, messages: new Map(), expunged: [] }
    mailboxes.set(name, made)
    return made
  }
  create("INBOX")

  const append = (box: Mailbox, count: number, flags: ReadonlyArray<string> = []) => {
    for (let added = 0; added < count; added++) box.messages.set(box.next++, { flags, modseq: ++box.modseq })
  }

  /** Returns this many messages, from this place on. */
  const some = (box: Mailbox, at: number, count: number) => [...box.messages].slice(at, at + count)

  const expunge = (box: Mailbox, at: number, count: number) => {
    for (const [uid] of some(box, at, count)) {
      box.messages.delete(uid)
      box.expunged.push({ uid, modseq: ++box.modseq })
    }
  }

  /** Sets a flag of messages, or removes it from those that have it. */
  const flag = (box: Mailbox, at: number, count: number, name: string) => {
    for (const [uid, { flags }] of some(box, at, count)) {
      const others = flags.filter((one) => one !== name)
      const changed = others.length < flags.length ? others : [...flags, name].toSorted()
      box.messages.set(uid, { flags: changed, modseq: ++box.modseq })
    }
  }

  /** Gives all messages new UIDs under a new UIDVALIDITY. */
  const renumber = (box: Mailbox) => {
    const messages = [...box.messages.values()]
    Object.assign(box, { validity: ++validities, next: 1 })
    box.messages.clear()
    box.expunged.length = 0
    for (const { flags } of messages) append(box, 1, flags)
  }

  const statusOf = ({ messages, modseq, next, validity }: Mailbox) => ({
    uidValidity: BigInt(validity),
    uidNext: next,
    messages: messages.size,
    ...(kind === "plain" ? {} : { highestModseq: BigInt(modseq) }),
    unseen: [...messages.values()].filter(({ flags }) => !flags.includes("\\Seen")).length
  })

  const list = async () =>
    [...mailboxes].map(([path, box]) => ({ path, delimiter: "/", flags: new Set<string>(), status: statusOf(box) }))

  const sessionIn = (box: Mailbox | undefined): Client.Session => {
    // RFC 3501, 6.4.4: SINCE and BEFORE compare INTERNALDATE, disregarding time and timezone.
    const dayOf = (uid: number) => Math.floor((receivedOf(uid) + zone * hour) / day)
    const isIn =
      ({ before, since }: { readonly before?: Date; readonly since?: Date }) =>
      (uid: number) =>
        (since === undefined || dayOf(uid) >= Math.floor(since.getTime() / day)) &&
        (before === undefined || dayOf(uid) < Math.floor(before.getTime() / day))
    const search = async ({ uid, ...days }: { readonly uid: string; readonly before?: Date; readonly since?: Date }) =>
      [...(box?.messages.keys() ?? [])].filter(inSet(uid)).filter(isIn(days))
    const fetchAll = async (range: string, _query: unknown, { changedSince = 0n } = {}) => {
      const isAsked = inSet(range)
      const isLater = ({ modseq }: { readonly modseq: number }) => modseq > changedSince
      for (const one of kind === "qresync" ? (box?.expunged ?? []) : []) {
        if (isLater(one) && isAsked(one.uid)) session.vanished?.add(one.uid)
      }
      const found = [...(box?.messages ?? [])].filter(([uid, message]) => isAsked(uid) && isLater(message))
      return found.map(([uid, { flags }]) => {
        fetched.add(uid)
        return { uid, flags: new Set(flags), size: 1, internalDate: new Date(receivedOf(uid)) }
      })
    }
    const session: Client.Session = {
      imap: { list, search, fetchAll } as unknown as ImapFlow,
      capabilities,
      vanished: undefined,
      changed: undefined,
      running: 0,
      openedAt: 0
    }
    return session
  }

  const opened = (path: string) =>
    Effect.suspend(() => {
      const box = mailboxes.get(path)
      return box === undefined ? Effect.fail(Errors.gone(`there is no ${path}`)) : Effect.succeed(box)
    })

  const client: Client.Client = {
    watch: () => Effect.die("not watched"),
    size: { allowed: () => undefined, restore: () => Effect.void },
    capabilities: Effect.succeed(capabilities),
    request: (method, _what, ask) => {
      requests.push(method)
      return Effect.promise(() => ask(sessionIn(undefined)))
    },
    examine: (path) => {
      requests.push("EXAMINE")
      return Effect.map(opened(path), ({ messages, modseq, next, validity }) => ({
        validity: String(validity),
        next,
        messages: messages.size,
        modseq: kind === "plain" ? undefined : BigInt(modseq)
      }))
    },
    inMailbox: (path, validity, method, _what, ask) => {
      requests.push(method)
      return Effect.flatMap(opened(path), (box) =>
        String(box.validity) === validity
          ? Effect.promise(() => ask(sessionIn(box)))
          : Effect.fail(Errors.gone(`${path} has new UIDs`))
      )
    }
  }

  /** The flags of all messages, by their external ids. */
  const messages = (): ReadonlyMap<string, ReadonlyArray<string>> =>
    new Map(
      [...mailboxes].flatMap(([name, box]) =>
        Array.from(box.messages, ([uid, { flags }]) => [`${name}/${box.validity}/${uid}`, flags] as const)
      )
    )

  return { append, client, create, expunge, fetched, flag, mailboxes, messages, renumber, requests }
}
