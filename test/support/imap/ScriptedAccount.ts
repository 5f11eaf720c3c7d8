/** A connection to an account of the scripted IMAP server, whose answers a test changes. */
import * as Effect from "effect/Effect"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as StandIn from "./ImapStandIn.ts"

export const mail = (name: string | number) =>
  `Message-ID: <${name}@a.example>\r\nSubject: mail ${name}\r\n\r\nbody ${name}`

type Faults = Map<string, StandIn.Fault>

/** Syncs a stand-in; `faults` are answers by the beginning of a command. */
export const account = Effect.fnUntraced(function* (
  options: StandIn.Options = {},
  config: Record<string, unknown> = {}
) {
  const faults: Faults = new Map()
  const standIn = yield* StandIn.run({
    script: (command, mailbox) =>
      [...faults].find(([start]) => command.startsWith(start) || `${mailbox} ${command}`.startsWith(start))?.[1],
    ...options
  })
  const watch = Harness.watcher()
  const store = yield* Harness.makeStore
  const process = yield* Harness.start({ integration, credentials: standIn.credentials, store, watch })
  const connect = process.connect({ ...standIn.config, ...config })
  const ids = Effect.map(process.ids("stored"), (found) => found.map((id) => id.replace(/\/\d+\//, " ")).toSorted())
  return { ...standIn, faults, process, store, watch, connect, ids, sync: process.sync() }
})

export const droppedLines = (isKept: (line: string) => boolean): StandIn.Fault => ({
  lines: (lines) => lines.filter(isKept)
})

/**
 * A SEARCH that leaves out messages which the mailbox has. Gmail: after several messages are moved into a mailbox the
 * next SEARCH may give only the newest (https://stackoverflow.com/questions/46936646), or old results until the mailbox
 * is opened anew (https://github.com/jstedfast/MailKit/issues/835). Exchange: a SEARCH that comes too early is empty
 * (https://github.com/jakartaee/mail-api/issues/156).
 */
export const searchWithout = (...uids: ReadonlyArray<number>): StandIn.Fault => ({
  lines: (lines) =>
    lines.map((line) =>
      line
        .split(" ")
        .filter((word) => !uids.some((uid) => word === String(uid)))
        .join(" ")
    )
})
