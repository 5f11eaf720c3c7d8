/**
 * An IMAP server in memory whose responses a test scripts, for faults, and for features that Dovecot lacks (Gmail's
 * extensions, OBJECTID, MESSAGELIMIT). It supports the commands that Idem uses, according to RFC 3501, 5819
 * (LIST-STATUS), 7162 (CONDSTORE, QRESYNC), 8474 (OBJECTID) and
 * https://developers.google.com/workspace/gmail/imap/imap-extensions.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

export interface Message {
  uid: number
  readonly body: Buffer
  readonly received: Date
  flags: Array<string>
  modseq: number
  readonly emailId?: string | undefined
  readonly labels?: ReadonlyArray<string> | undefined
}

export interface Mailbox {
  validity: number
  next: number
  readonly attributes: ReadonlyArray<string>
  readonly messages: Array<Message>
  /** UIDs that were expunged, each with the mod-sequence of its expunge. */
  readonly expunged: Array<{ readonly uid: number; readonly modseq: number }>
}

/** A script's fault for one command: a replaced response, changed lines of the response, or a broken connection. */
export type Fault =
  | undefined
  | { readonly answer: string }
  | { readonly lines: (lines: ReadonlyArray<string>) => ReadonlyArray<string> }
  | "drop"

export interface Options {
  readonly capabilities?: ReadonlyArray<string>
  readonly password?: string
  /** Called before the response to each command; `mailbox` is the selected mailbox. */
  readonly script?: (command: string, mailbox: string | undefined) => Fault
  /**
   * True if a connection shows only the messages that the mailbox had when the connection opened it. Dovecot reports
   * new messages at the end of a command, so that the command itself still has the previous view.
   */
  readonly views?: boolean
  /** The most connections at a time. A login beyond that is refused as by Dovecot. */
  readonly connections?: number
}

export interface StandIn {
  readonly mailboxes: Map<string, Mailbox>
  readonly config: Record<string, unknown>
  readonly credentials: { readonly username: string; readonly password: string }
  /** The received commands, without their tags. */
  readonly commands: Array<string>
  /** The number of open connections, once it is zero or a minute has passed. */
  readonly open: Effect.Effect<number>
  readonly create: (name: string, attributes?: ReadonlyArray<string>) => Mailbox
  readonly append: (mailbox: string, body: string, options?: Partial<Message>) => Message
  readonly expunge: (mailbox: string, uid: number) => void
  readonly flag: (mailbox: string, uid: number, flags: ReadonlyArray<string>) => void
}

export const allCapabilities = ["ENABLE", "CONDSTORE", "QRESYNC", "LIST-STATUS", "SPECIAL-USE", "LIST-EXTENDED"]

/** Splits a command into atoms, quoted strings, and unparsed lists in parentheses. */
const wordsOf = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/"((?:[^"\\]|\\.)*)"|\((?:[^()]|\([^()]*\))*\)|[^\s]+/g), ([whole, quoted]) =>
    quoted === undefined ? whole : quoted.replaceAll(/\\(.)/g, "$1")
  )

const inSet = (set: string, uid: number): boolean =>
  set.split(",").some((part) => {
    const [from = "", to = from] = part.split(":")
    const end = to === "*" ? Number.POSITIVE_INFINITY : Number(to)
    return uid >= Number(from) && uid <= end
  })

const dateOf = (at: Date): string => {
  const [, day, month, year] = /^\w+, (\d+) (\w+) (\d+)/.exec(at.toUTCString()) ?? []
  return `${day}-${month}-${year} ${at.toISOString().slice(11, 19)} +0000`
}

export const run = Effect.fnUntraced(function* (options: Options = {}): Effect.fn.Return<StandIn, never, Scope.Scope> {
  const { capabilities = allCapabilities, password = "secret" } = options
  const mailboxes = new Map<string, Mailbox>()
  const commands: Array<string> = []
  const sockets = new Set<Net.Socket>()
  let modseq = 1
  let loggedIn = 0
  const hasModseq = capabilities.includes("CONDSTORE")
  const boxOf = (name: string) => mailboxes.get(name.toUpperCase() === "INBOX" ? "INBOX" : name)

  const highest = (box: Mailbox) =>
    Math.max(1, ...box.messages.map((one) => one.modseq), ...box.expunged.map((one) => one.modseq))

  const status = (name: string, box: Mailbox) => {
    const unseen = box.messages.filter(({ flags }) => !flags.includes("\\Seen")).length
    const values = `MESSAGES ${box.messages.length} UIDNEXT ${box.next} UIDVALIDITY ${box.validity} UNSEEN ${unseen}`
    return `* STATUS "${name}" (${values}${hasModseq ? ` HIGHESTMODSEQ ${highest(box)}` : ""})`
  }

  const fetched = (box: Mailbox, message: Message, items: string): string => {
    const parts = [`UID ${message.uid}`]
    if (items.includes("FLAGS")) parts.push(`FLAGS (${message.flags.join(" ")})`)
    if (items.includes("INTERNALDATE")) parts.push(`INTERNALDATE "${dateOf(message.received)}"`)
    if (items.includes("RFC822.SIZE")) parts.push(`RFC822.SIZE ${message.body.length}`)
    if (items.includes("MODSEQ")) parts.push(`MODSEQ (${message.modseq})`)
    if (items.includes("EMAILID")) parts.push(`EMAILID (${message.emailId})`)
    if (items.includes("X-GM-MSGID")) parts.push(`X-GM-MSGID ${message.emailId}`)
    if (items.includes("X-GM-LABELS")) parts.push(`X-GM-LABELS (${(message.labels ?? []).join(" ")})`)
    if (items.includes("HEADER.FIELDS")) {
      const wanted = /^(message-id|received):/i
      const head = message.body.toString("latin1").split("\r\n\r\n")[0] ?? ""
      const text = `${head
        .split("\r\n")
        .filter((line) => wanted.test(line))
        .join("\r\n")}\r\n\r\n`
      parts.push(`BODY[HEADER.FIELDS (MESSAGE-ID RECEIVED)] {${text.length}}\r\n${text}`)
    }
    const [, partial] = /BODY\.PEEK\[\](?:<([\d.]+)>)?/.exec(items) ?? []
    if (items.includes("BODY.PEEK[]")) {
      const [start = 0, length = message.body.length] = (partial ?? "").split(".").filter(Boolean).map(Number)
      const bytes = message.body.subarray(start, start + length)
      parts.push(`BODY[]${partial === undefined ? "" : `<${start}>`} {${bytes.length}}\r\n${bytes.toString("latin1")}`)
    }
    return `* ${box.messages.indexOf(message) + 1} FETCH (${parts.join(" ")})`
  }

  const serve = (socket: Net.Socket) => {
    sockets.add(socket)
    let selected: string | undefined
    let isIn = false
    let view: ReadonlyArray<Message> = []
    const box = (): Mailbox | undefined => {
      const one = selected === undefined ? undefined : boxOf(selected)
      return one === undefined || options.views !== true ? one : { ...one, messages: [...view] }
    }

    const answer = (command: string): { readonly lines: ReadonlyArray<string>; readonly end: string } => {
      const [verb = "", ...words] = wordsOf(command)
      const ok = (lines: ReadonlyArray<string> = [], end = "OK done") => ({ lines, end })
      switch (verb.toUpperCase()) {
        case "CAPABILITY":
          return ok([`* CAPABILITY IMAP4rev1 ${capabilities.join(" ")}`])
        case "LOGIN":
          if (words[1] !== password) return ok([], "NO [AUTHENTICATIONFAILED] Authentication failed.")
          if (loggedIn >= (options.connections ?? Infinity)) {
            // https://github.com/dovecot/core, src/login-common/client-common-auth.c, mail_max_userip_connections.
            return ok([], "NO [LIMIT] Maximum number of connections from user+IP exceeded")
          }
          isIn = true
          loggedIn += 1
          return ok([], `OK [CAPABILITY IMAP4rev1 ${capabilities.join(" ")}] Logged in`)
        case "ENABLE":
          return ok([`* ENABLED ${words.filter((one) => capabilities.includes(one)).join(" ")}`])
        case "NAMESPACE":
          return ok(['* NAMESPACE (("" "/")) NIL NIL'])
        case "LIST": {
          const [, pattern = "*"] = words
          const found = [...mailboxes].filter(([name]) => pattern === "*" || name === pattern)
          return ok(
            found.flatMap(([name, one]) => [
              `* LIST (${one.attributes.join(" ")}) "/" "${name}"`,
              ...(command.includes("STATUS") ? [status(name, one)] : [])
            ])
          )
        }
        case "STATUS": {
          const one = boxOf(words[0] ?? "")
          return one === undefined ? ok([], "NO [NONEXISTENT] no such mailbox") : ok([status(words[0] ?? "", one)])
        }
        case "EXAMINE":
        case "SELECT": {
          const one = boxOf(words[0] ?? "")
          selected = one === undefined ? undefined : words[0]
          if (one === undefined) return ok([], "NO [NONEXISTENT] no such mailbox")
          view = [...one.messages]
          return ok(
            [
              "* FLAGS (\\Seen \\Flagged)",
              `* ${one.messages.length} EXISTS`,
              `* OK [UIDVALIDITY ${one.validity}]`,
              `* OK [UIDNEXT ${one.next}]`,
              ...(hasModseq ? [`* OK [HIGHESTMODSEQ ${highest(one)}]`] : [])
            ],
            "OK [READ-ONLY] done"
          )
        }
        case "UID": {
          const one = box()
          if (one === undefined) return ok([], "BAD no mailbox")
          const [kind = "", ...rest] = words
          if (kind.toUpperCase() === "SEARCH") {
            const set = rest[rest.findIndex((word) => word === "UID") + 1] ?? rest[0] ?? "1:*"
            return ok([["* SEARCH", ...one.messages.map(({ uid }) => uid).filter((uid) => inSet(set, uid))].join(" ")])
          }
          const [set = "", items = "", modifiers = ""] = rest
          const [, since] = /CHANGEDSINCE (\d+)/.exec(modifiers) ?? []
          const after = Number(since ?? 0)
          const gone = one.expunged.filter((each) => each.modseq > after && inSet(set, each.uid))
          const vanished =
            modifiers.includes("VANISHED") && gone.length > 0
              ? [`* VANISHED (EARLIER) ${gone.map(({ uid }) => uid).join(",")}`]
              : []
          const messages = one.messages.filter((each) => inSet(set, each.uid) && each.modseq > after)
          return ok([...vanished, ...messages.map((each) => fetched(one, each, items))])
        }
        case "LOGOUT":
          return ok(["* BYE"])
        default:
          return ok()
      }
    }

    let buffered = ""
    socket.on("data", (chunk) => {
      buffered += chunk.toString("latin1")
      for (let end = buffered.indexOf("\r\n"); end >= 0; end = buffered.indexOf("\r\n")) {
        const line = buffered.slice(0, end)
        buffered = buffered.slice(end + 2)
        const space = line.indexOf(" ")
        const tag = line.slice(0, space)
        const command = line.slice(space + 1)
        commands.push(command)
        const fault = options.script?.(command, selected)
        if (fault === "drop") return void socket.destroy()
        const plain = answer(command)
        const lines = fault !== undefined && "lines" in fault ? fault.lines(plain.lines) : plain.lines
        const last = fault !== undefined && "answer" in fault ? [fault.answer] : [...lines, plain.end]
        const text = last.map((one, index) => (index === last.length - 1 ? `${tag} ${one}` : one)).join("\r\n")
        socket.write(Buffer.from(`${text}\r\n`, "latin1"))
        if (command === "LOGOUT") socket.end()
      }
    })
    const left = () => {
      if (!sockets.delete(socket)) return
      if (isIn) loggedIn -= 1
    }
    socket.on("close", left)
    socket.on("error", left)
    socket.write("* OK ready\r\n")
  }

  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer(serve).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  const address = server.address()
  const create = (name: string, attributes: ReadonlyArray<string> = []): Mailbox => {
    const made: Mailbox = { validity: 1_000 + mailboxes.size, next: 1, attributes, messages: [], expunged: [] }
    mailboxes.set(name, made)
    return made
  }
  create("INBOX")
  const must = (name: string): Mailbox => boxOf(name) ?? create(name)
  return {
    mailboxes,
    commands,
    config: { host: "127.0.0.1", port: typeof address === "object" ? address?.port : 0, tls: false },
    credentials: { username: "ann", password },
    open: Effect.sync(() => sockets.size).pipe(
      Effect.repeat({ until: (open) => open === 0, times: 6000, schedule: Schedule.spaced("10 millis") })
    ),
    create,
    append: (mailbox, body, more = {}) => {
      const one = must(mailbox)
      modseq += 1
      const received = more.received ?? new Date(1_700_000_000_000 + modseq * 86_400_000)
      const message = { uid: one.next, body: Buffer.from(body), received, flags: [], modseq, ...more }
      one.messages.push(message)
      one.next = message.uid + 1
      return message
    },
    expunge: (mailbox, uid) => {
      const one = must(mailbox)
      modseq += 1
      one.messages.splice(
        one.messages.findIndex((each) => each.uid === uid),
        1
      )
      one.expunged.push({ uid, modseq })
    },
    flag: (mailbox, uid, flags) => {
      modseq += 1
      const message = must(mailbox).messages.find((each) => each.uid === uid)
      if (message !== undefined) Object.assign(message, { flags: [...flags], modseq })
    }
  }
})
