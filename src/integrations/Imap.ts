/**
 * IMAP: each message as the server has it (RFC 822 bytes), its mailbox and flags as metadata. External ids are
 * `mailbox/UIDVALIDITY/UID`.
 *
 * - imap/Config.ts: settings and providers · Client.ts, Capabilities.ts, ImapErrors.ts: connections and errors ·
 *   Names.ts: mailbox names and external ids
 * - imap/Mailboxes.ts: which mailboxes · Listing.ts: polls and passes · Changes.ts: what changed in a mailbox ·
 *   UidDigests.ts: digests, for servers that tell no changes · Checkpoint.ts: what is kept
 * - imap/Session.ts: an open connection · Messages.ts: requests about messages · Downloads.ts: bodies ·
 *   MessageContent.ts: a message as content
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { make } from "../contract/Integration.ts"
import { Checkpoint, Part } from "./imap/Checkpoint.ts"
import { Config, Credentials, messagesIn } from "./imap/Config.ts"
import { projection } from "./imap/Projection.ts"
import { unlimited } from "../contract/Quota.ts"

/** Loaded when a connection is opened: commands that only read would pay for it. */
const session = Effect.promise(() => import("./imap/Session.ts"))

export const integration = make<Config, Credentials, Checkpoint, Part>({
  domain: "imap",
  title: "IMAP",
  summary: "the emails of any mail server",
  config: Config,
  credentials: Credentials,
  checkpoint: Checkpoint,
  part: Part,
  scope: ["mailboxes", "exclude", "includeSpamTrash"],
  // `tls` decides whether the password is sent in clear. `ca` and `verifyCertificate` decide which server is accepted
  // as the host.
  address: ["provider", "host", "port", "tls", "ca", "verifyCertificate"],
  // Mail servers have no quota: `connections` limits concurrent requests.
  quota: ({ quota }) => ({ unitsPerMinute: unlimited, ...quota }),
  leftOut: ({ includeSpamTrash, mailboxes = [] }) =>
    includeSpamTrash === true || mailboxes.length > 0 ? [] : [messagesIn("Junk and Trash")],
  projection,
  // A search in a mailbox of a hundred thousand messages takes minutes on some servers.
  callTimeout: "5 minutes",
  hints: (options) => Stream.unwrap(Effect.map(session, ({ hints }) => hints(options))),
  open: (options) => Effect.flatMap(session, ({ open }) => open(options))
})
