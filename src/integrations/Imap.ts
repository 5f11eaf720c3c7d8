/**
 * IMAP: each message as the server has it (RFC 822 bytes), its mailbox and flags as metadata. External ids are
 * `mailbox/UIDVALIDITY/UID`.
 *
 * - imap/Config.ts, Presets.ts: settings and providers · Client.ts, ImapErrors.ts: connections and errors ·
 *   Names.ts: mailbox names and external ids
 * - imap/Mailboxes.ts: which mailboxes · Listing.ts: polls and passes · Changes.ts: what changed in a mailbox ·
 *   UidDigests.ts: digests, for servers that tell no changes · Checkpoint.ts: what is kept
 * - imap/Messages.ts: requests about messages · Downloads.ts: bodies · Mail.ts: a message as content ·
 *   Watch.ts: hints by IDLE
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { type Estimate, make, type OpenOptions, type Session } from "../contract/Integration.ts"
import { Checkpoint, Part } from "./imap/Checkpoint.ts"
import * as Client from "./imap/Client.ts"
import { Config, Credentials, serverOf } from "./imap/Config.ts"
import * as Downloads from "./imap/Downloads.ts"
import * as Listing from "./imap/Listing.ts"
import * as Mailboxes from "./imap/Mailboxes.ts"
import * as Names from "./imap/Names.ts"
import { projection } from "./imap/Projection.ts"
import type { Source } from "./imap/ListingPages.ts"
import * as Watch from "./imap/Watch.ts"
import * as Errors from "./server/Errors.ts"

const choiceOf = ({ exclude = [], includeSpamTrash = false, mailboxes = [] }: Config): Mailboxes.Choice => ({
  mailboxes,
  exclude,
  includeSpamTrash
})

const leftOut = (mailbox: string): string => `messages in ${mailbox}: includeSpamTrash: true takes them`

const clientOf = (
  { call, config, credentials, network }: OpenOptions<Config, Credentials>,
  { connections, timeout }: { readonly connections: number; readonly timeout: Duration.Input }
) =>
  Client.make({
    call,
    network,
    ...serverOf(config),
    ca: config.ca,
    verifyCertificate: config.verifyCertificate ?? true,
    compress: config.compress ?? true,
    username: credentials.username,
    secret:
      "password" in credentials
        ? { password: Redacted.value(credentials.password) }
        : { accessToken: Redacted.value(credentials.accessToken) },
    connections,
    timeout: Duration.toMillis(timeout)
  })

/** A connection in IDLE is silent for longer than one that is asked something. */
const idleTimeout = "5 minutes"

const open = Effect.fnUntraced(function* (options: OpenOptions<Config, Credentials>) {
  const { config, credentials } = options
  const server = serverOf(config)
  const client = yield* clientOf(options, {
    connections: config.connections ?? 3,
    timeout: config.timeout ?? "30 seconds"
  })
  const choice = choiceOf(config)
  const source: Source = { client, choice, downloads: yield* Downloads.make(client, config.maxMessageSize) }

  /** The server's names of mailboxes, by the names in external ids. */
  const paths = yield* Effect.cachedWithTTL(
    Effect.map(
      client.request("LIST", "listing the mailboxes", ({ imap }) => imap.list({ listOnly: true })),
      (entries) => new Map(entries.map(({ delimiter, path }) => [Names.encode(path, delimiter), path]))
    ),
    "1 minute"
  )

  const session: Session<Checkpoint, Part> = {
    account: Effect.as(client.features, `imap://${credentials.username}@${server.host}:${server.port}`),
    estimate: Effect.map(Mailboxes.list(client, choice), ({ leftOut: names, mailboxes }) => {
      const counts = mailboxes.map(({ status }) => status.messages)
      const estimate: Estimate = {
        items: counts.every((count) => count !== undefined)
          ? counts.reduce<number>((sum, count) => sum + (count ?? 0), 0)
          : undefined,
        unitsPerItem: 0.1,
        leftOut: names.map(leftOut)
      }
      return estimate
    }),
    list: (task, checkpoint, parts) => Listing.list(source, task, checkpoint, parts),
    download: Effect.fnUntraced(function* ({ externalId }) {
      const id = Names.parse(externalId)
      if (id === undefined) {
        return yield* Effect.fail(Errors.malformed(`${Names.quote(externalId)} is not mailbox/UIDVALIDITY/UID`))
      }
      const path = (yield* paths).get(id.mailbox)
      if (path === undefined) {
        return yield* Effect.fail(Errors.gone(`the server has no mailbox ${Names.quote(id.mailbox)} any more`))
      }
      return yield* source.downloads.download({ name: id.mailbox, path, validity: id.validity }, id.uid)
    })
  }
  return session
})

/** A server grants no quota of its own: `connections` bounds what it is asked at a time. */
const unlimited = 1_000_000_000

export const integration = make<Config, Credentials, Checkpoint, Part>({
  domain: "imap",
  title: "IMAP",
  summary: "the emails of any mail server",
  config: Config,
  credentials: Credentials,
  checkpoint: Checkpoint,
  part: Part,
  scope: ["mailboxes", "exclude", "includeSpamTrash"],
  // `tls` decides whether the password is sent in clear. `ca` and `verifyCertificate` decide which server is believed
  // to be the host.
  address: ["provider", "host", "port", "tls", "ca", "verifyCertificate"],
  quota: ({ quota }) => ({ unitsPerMinute: unlimited, ...quota }),
  leftOut: ({ includeSpamTrash, mailboxes = [] }) =>
    includeSpamTrash === true || mailboxes.length > 0 ? [] : [leftOut("Junk and Trash")],
  projection,
  // A mailbox of a hundred thousand messages takes its time to be searched.
  callTimeout: "5 minutes",
  hints: (options) =>
    Watch.hints(clientOf(options, { connections: 1, timeout: idleTimeout }), choiceOf(options.config)),
  open
})
