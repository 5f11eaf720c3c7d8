/** An open connection to a mail server: its account, its estimate, its listing, its downloads and its hints. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { Estimate, OpenOptions, Session } from "../../contract/Integration.ts"
import * as OAuthGrant from "../../contract/OAuthGrant.ts"
import type { Checkpoint, Part } from "./Checkpoint.ts"
import * as Client from "./Client.ts"
import { type Config, type Credentials, messagesIn, serverOf, tokenUrlOf } from "./Config.ts"
import * as Downloads from "./Downloads.ts"
import * as Listing from "./Listing.ts"
import type { Source } from "./ListingPages.ts"
import * as Mailboxes from "./Mailboxes.ts"
import * as Names from "./Names.ts"
import * as Errors from "../server/Errors.ts"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { Hint } from "../../contract/Hints.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"

const choiceOf = ({ exclude = [], includeSpamTrash = false, mailboxes = [] }: Config): Mailboxes.Choice => ({
  mailboxes,
  exclude,
  includeSpamTrash
})

/**
 * Returns the password, or the access token. Without a refresh token, the given access token is used until the server
 * refuses it.
 */
const secretOf = ({ call, config, credentials, network, refreshCredentials }: OpenOptions<Config, Credentials>) => {
  if ("password" in credentials) return Effect.succeed({ password: Redacted.value(credentials.password) })
  const tokenUrl = tokenUrlOf(config, "tokenUrl" in credentials ? credentials.tokenUrl : undefined)
  if ("refreshToken" in credentials && tokenUrl === undefined) {
    return Effect.fail(Errors.unauthorized(`the refresh token needs a "tokenUrl" in the credentials: ${noTokenUrl}`))
  }
  return Effect.succeed(
    OAuthGrant.accessToken<Credentials>({
      call,
      network,
      credentials,
      refreshCredentials,
      endpointOf: (current) =>
        "refreshToken" in current && tokenUrl !== undefined ? { grant: current, tokenUrl } : undefined
    })
  )
}

const noTokenUrl = "the token endpoints of gmail and outlook alone are known"

const clientOf = Effect.fnUntraced(function* (
  options: OpenOptions<Config, Credentials>,
  { connections, timeout }: { readonly connections: number; readonly timeout: Duration.Input }
) {
  const { call, config, credentials, network } = options
  return yield* Client.make({
    call,
    network,
    ...serverOf(config),
    ca: config.ca,
    verifyCertificate: config.verifyCertificate ?? true,
    compress: config.compress ?? true,
    username: credentials.username,
    secret: yield* secretOf(options),
    connections,
    timeout: Duration.toMillis(timeout)
  })
})

/** A connection in IDLE may be silent for longer than one with a request. */
const idleTimeout = "5 minutes"

export const open = Effect.fnUntraced(function* (options: OpenOptions<Config, Credentials>) {
  const { config, credentials } = options
  const server = serverOf(config)
  const client = yield* clientOf(options, {
    connections: config.connections ?? 3,
    timeout: config.timeout ?? "30 seconds"
  })
  const choice = choiceOf(config)
  const source: Source = { client, choice, downloads: yield* Downloads.make(client, config.maxMessageSize) }

  /** The server's names of mailboxes, by the names in external ids. */
  const names = yield* Effect.cachedWithTTL(Mailboxes.names(client), "1 minute")

  /**
   * Returns the path of a mailbox. A mailbox that is not in the list may be newer than the list, so it counts as gone
   * only if it can't be opened either.
   */
  const pathOf = Effect.fnUntraced(function* (mailbox: string) {
    const { paths, separator } = yield* names
    const listed = paths.get(mailbox)
    if (listed !== undefined) return listed
    const path = Names.decode(mailbox, separator)
    yield* client.examine(path)
    return path
  })

  const session: Session<Checkpoint, Part> = {
    account: Effect.as(client.capabilities, `imap://${credentials.username}@${server.host}:${server.port}`),
    estimate: Effect.map(Mailboxes.list(client, choice), ({ leftOut: names, mailboxes }) => {
      const counts = mailboxes.map(({ status }) => status.messages)
      const estimate: Estimate = {
        items: counts.every((count) => count !== undefined)
          ? counts.reduce<number>((sum, count) => sum + (count ?? 0), 0)
          : undefined,
        unitsPerItem: 0.1,
        leftOut: names.map(messagesIn)
      }
      return estimate
    }),
    list: (task, checkpoint, parts) => Listing.list(source, task, checkpoint, parts),
    download: Effect.fnUntraced(function* ({ externalId }) {
      const id = Names.parse(externalId)
      if (id === undefined) {
        // Only a person requests such an id.
        return yield* Effect.fail(
          Errors.gone(`${Names.quote(externalId)} is no id of this source: those are mailbox/UIDVALIDITY/UID`)
        )
      }
      const path = yield* pathOf(id.mailbox)
      const place = { name: id.mailbox, path, validity: id.validity }
      const content = yield* Effect.mapError(source.downloads.download(place, id.uid), Errors.ofItem)
      return Stream.isStream(content.body)
        ? { ...content, body: Stream.mapError(content.body, Errors.ofItem) }
        : content
    })
  }
  return session
})

const listen = Effect.fnUntraced(function* (
  connect: Effect.Effect<Client.Client, IntegrationError, Scope.Scope>,
  choice: Mailboxes.Choice,
  queue: Queue.Enqueue<Hint, IntegrationError>
): Effect.fn.Return<never, IntegrationError, Scope.Scope> {
  const client = yield* connect
  const { mailboxes } = yield* Mailboxes.list(client, choice)
  const [mailbox] = mailboxes
  if (mailbox === undefined) return yield* Effect.never
  return yield* client.watch(mailbox.path, (isFirst) => {
    Queue.offerUnsafe(queue, isFirst ? {} : { part: mailbox.name })
  })
})

/**
 * Returns hints by IDLE (RFC 2177): a separate connection watches the first mailbox, INBOX or Gmail's mailbox of all
 * mail, and reports that it changed. Changes in other mailboxes are found by the next poll. The stream ends when the
 * connection does. A server without IDLE gives no hints.
 */
export const hints = (options: OpenOptions<Config, Credentials>): Stream.Stream<Hint, IntegrationError> =>
  Stream.callback<Hint, IntegrationError>((queue) =>
    listen(clientOf(options, { connections: 1, timeout: idleTimeout }), choiceOf(options.config), queue)
  )
