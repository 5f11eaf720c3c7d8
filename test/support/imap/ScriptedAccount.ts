/** A connection to an account of the scripted IMAP server, whose answers a test changes. */
import * as Effect from "effect/Effect"
import * as Network from "../../../src/contract/Network.ts"
import * as Client from "../../../src/integrations/imap/Client.ts"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as StandIn from "./ImapStandIn.ts"

export const mail = (name: string | number) =>
  `Message-ID: <${name}@a.example>\r\nSubject: mail ${name}\r\n\r\nbody ${name}`

/** Capabilities of servers that report changes in different ways. */
export const kinds = {
  qresync: StandIn.allCapabilities,
  condstore: ["ENABLE", "CONDSTORE"],
  plain: []
}

/** Connects a client to the stand-in with this config, for tests of modules that use a client. */
export const clientOf = (config: Record<string, unknown>) =>
  Client.make({
    call: (_method, _units, request) => request,
    network: Network.direct,
    host: "127.0.0.1",
    port: Number(config.port),
    security: "none",
    ca: undefined,
    verifyCertificate: true,
    compress: false,
    username: "ann",
    secret: { password: "secret" },
    connections: 2,
    timeout: 30_000
  })

type Faults = Map<string, StandIn.Fault>

/** Syncs a stand-in; `faults` has responses by the beginning of a command. */
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
  const subjects = Effect.map(store.connections, (all) => all[0]?.id).pipe(
    Effect.flatMap((id) =>
      id === undefined
        ? Effect.succeed([])
        : Effect.map(store.contents(id, { state: "stored", limit: 500 }), ({ contents }) =>
            contents.toSorted((a, b) => (a.externalId < b.externalId ? -1 : 1)).map(({ title }) => title)
          )
    )
  )
  return { ...standIn, faults, process, store, watch, connect, ids, subjects, sync: process.sync() }
})

export const droppedLines = (isKept: (line: string) => boolean): StandIn.Fault => ({
  lines: (lines) => lines.filter(isKept)
})

/**
 * Makes a SEARCH omit messages that are in the mailbox. Gmail: after several messages are moved into a mailbox, the
 * next SEARCH may return only the newest (https://stackoverflow.com/questions/46936646), or old results until the
 * mailbox is reopened (https://github.com/jstedfast/MailKit/issues/835). Exchange: a SEARCH that comes too early is
 * empty (https://github.com/jakartaee/mail-api/issues/156).
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
