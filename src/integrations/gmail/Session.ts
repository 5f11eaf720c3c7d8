/** An open connection to a mailbox: its account, its estimate, its listing and its downloads. */
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type { Estimate, OpenOptions, Session } from "../../contract/Integration.ts"
import { IntegrationError, Unsettled } from "../../contract/IntegrationError.ts"
import * as Api from "./Api.ts"
import * as Auth from "./Auth.ts"
import type { Credentials } from "./Credentials.ts"
import type { Checkpoint } from "./Checkpoint.ts"
import * as Errors from "./Errors.ts"
import { chatLabel, type Config, type Filter, filterOf, withoutChats } from "./Config.ts"
import * as Listing from "./Listing.ts"
import type { Source } from "./ListingStep.ts"
import * as MailboxProfile from "./MailboxProfile.ts"
import * as MessageContent from "./MessageContent.ts"
import type { Message } from "./Resources.ts"
import * as SignIn from "./SignIn.ts"

/** The average size of a message, attachments included, for the estimate. */
const bytesPerMessage = 75_000

const scopeOf = (filter: Filter) => {
  const { query, labelIds: wanted = [] } = filter
  // If a query itself includes Trash or Spam, a message that moves there is not deleted.
  const everywhere = filter.includeSpamTrash === true || /\bin:(anywhere|trash|spam)\b/i.test(query ?? "")
  return {
    excluded: new Set(everywhere ? [] : ["TRASH", "SPAM"].filter((label) => !wanted.includes(label))),
    ignored: new Set(filter.includeChats ? [] : [chatLabel]),
    wanted,
    needsListing: query !== undefined || wanted.length > 1
  }
}

/** The failure of a message that the history has just shown. */
const notFoundYet = (id: string): IntegrationError =>
  new IntegrationError({
    reason: new Unsettled({ message: `Gmail does not find message ${id} yet: the next poll asks for it again` })
  })

/** How many messages are tried before the user counts as refused. */
const newest = 5

/** Returns true also if a request of `check` is refused. Fails with errors that may pass. */
const orRefused = (check: Effect.Effect<boolean, IntegrationError>): Effect.Effect<boolean, IntegrationError> =>
  Effect.catch(check, (error) =>
    ["Unauthorized", "RateLimited", "Transient"].includes(error.reason._tag)
      ? Effect.fail(error)
      : Effect.succeed(error.reason._tag === "Forbidden")
  )

export const open = Effect.fnUntraced(function* ({
  config,
  credentials,
  call,
  network,
  refreshCredentials
}: OpenOptions<Config, Credentials>) {
  const filter = filterOf(config)
  const { issuer, tokenUrl } = SignIn.signIn.provider(config)
  const endpoint = { issuer, tokenUrl, network }
  const auth = yield* Auth.make({ credentials, endpoint, scope: SignIn.scope, call, refreshCredentials })
  const api = Api.make({ rootUrl: config.rootUrl, auth, call, network })
  const source: Source = { api, filter, scope: scopeOf(filter), arrivals: yield* Ref.make(HashSet.empty<string>()) }

  /**
   * True if Gmail refuses each of the newest messages. For a suspended user, it still lists the ids of messages, but
   * refuses each of them (GAM-team/got-your-back#258), so one refused message proves nothing. Checked once, after the
   * first refusal.
   */
  const isUserRefused = yield* Effect.cached(
    api.messages({}, { maxResults: newest }).pipe(
      Effect.flatMap(({ messages = [] }) =>
        Effect.findFirst(messages, ({ id }) =>
          Effect.map(orRefused(Effect.as(Effect.scoped(api.rawMessage(id)), false)), (isRefused) => !isRefused)
        ).pipe(Effect.map((readable) => messages.length > 0 && Option.isNone(readable)))
      ),
      orRefused
    )
  )

  const session: Session<Checkpoint> = {
    account: MailboxProfile.address(api),

    estimate: Effect.gen(function* () {
      const unitsPerItem = Api.units["messages.get"] + Api.units["messages.list"] / Api.pageSize
      const listed = Effect.map(api.messages(filter, { maxResults: 1 }), (list) => list.resultSizeEstimate)
      const isWhole = filter.query === undefined && filter.labelIds === undefined
      const total = yield* isWhole ? MailboxProfile.messagesTotal(api, listed) : listed
      const chats = isWhole && !filter.includeChats ? yield* api.chats : 0
      const estimate: Estimate = {
        items: total === undefined ? undefined : Math.max(0, total - chats),
        unitsPerItem,
        bytesPerItem: bytesPerMessage,
        ...(chats === 0 ? {} : { leftOut: [withoutChats(chats === 1 ? "1 chat" : `${chats} chats`)] })
      }
      return estimate
    }),

    list: (task, checkpoint) => Listing.list(source, task, checkpoint),

    download: Effect.fnUntraced(function* ({ externalId }) {
      const isArrival = yield* Ref.modify(source.arrivals, (ids) => [
        HashSet.has(ids, externalId),
        HashSet.remove(ids, externalId)
      ])
      // For some seconds after a message's arrival Gmail may answer 404 (byeokim/gmailpush#10, gauteh/lieer#2). At the
      // next poll, a 404 counts as gone.
      const found = yield* Effect.catch(api.rawMessage(externalId), (error) =>
        error.reason._tag === "Forbidden"
          ? Effect.flatMap(isUserRefused, (isOfUser) => Effect.fail(isOfUser ? Errors.ofUser(error) : error))
          : Effect.fail(isArrival && error.reason._tag === "Gone" ? notFoundYet(externalId) : error)
      )
      // The message's removal may have been read before this download began. If the message was stored now, its
      // deletion would never be noticed.
      const admit = (message: Message) => {
        const has = (labels: ReadonlySet<string>) => message.labelIds?.some((label) => labels.has(label)) === true
        if (has(source.scope.excluded)) return Effect.fail(MessageContent.inTrash(externalId))
        return has(source.scope.ignored) ? Effect.fail(MessageContent.isChat(externalId)) : Effect.succeed(message)
      }
      if (found._tag === "Streamed") return MessageContent.streamed(found, admit)
      const message = yield* admit(found.message)
      return message.labelIds?.includes(chatLabel) === true
        ? MessageContent.chat(yield* api.fullMessage(externalId))
        : yield* MessageContent.content(message)
    })
  }
  return session
})
