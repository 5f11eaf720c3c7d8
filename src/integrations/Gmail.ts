/**
 * Gmail: each message as it was received (RFC 822 bytes), its labels as metadata. External ids are Gmail's message ids.
 *
 * - gmail/Api.ts: the API's methods · Auth.ts: tokens · SignIn.ts: how an account is signed in · Errors.ts: Google's
 *   errors as reasons
 * - gmail/Listing.ts: passes and polls · HistoryChanges.ts: the history · TaskListing.ts: forced and windowed tasks ·
 *   Labels.ts: labels rebuilt · Window.ts: dates
 * - gmail/Mail.ts: a message as content · RawAnswer.ts, RawReader.ts: large messages as they arrive
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { aboutQuota, type Budget, type Estimate, make, type Quota, QuotaConfig } from "../contract/Integration.ts"
import { field } from "../contract/Field.ts"
import type { IntegrationError } from "../contract/IntegrationError.ts"
import * as Api from "./gmail/Api.ts"
import * as Auth from "./gmail/Auth.ts"
import { Checkpoint } from "./gmail/Checkpoint.ts"
import * as Listing from "./gmail/Listing.ts"
import * as Mail from "./gmail/Mail.ts"
import * as SignIn from "./gmail/SignIn.ts"
import type { Source } from "./gmail/ListingStep.ts"
import { projection } from "./gmail/Projection.ts"

export const Config = Schema.Struct({
  query: field(Schema.optionalKey(Schema.String), {
    title: "Only messages that match",
    description:
      "As typed into Gmail's search box; empty mirrors all. Such a connection lists its matches at each poll: 5 units for 500 ids.",
    example: "from:billing@example.com newer_than:1y"
  }),
  labelIds: field(Schema.optionalKey(Schema.Array(Schema.NonEmptyString)), {
    title: "Only messages with all of these labels",
    description: "The ids of the labels. Those of Gmail's own labels are their names in capitals.",
    example: ["INBOX"],
    isAdvanced: true
  }),
  includeSpamTrash: field(Schema.optionalKey(Schema.Boolean), {
    title: "Spam and Trash too",
    description: "Default no: a message that goes to Spam or Trash counts as deleted."
  }),
  includeChats: field(Schema.optionalKey(Schema.Boolean), {
    title: "Chats too",
    description: "Default no: chats of Hangouts and Google Talk (label CHAT) are left out.",
    isAdvanced: true
  }),
  rootUrl: field(
    Schema.optionalKey(
      Schema.String.pipe(
        Schema.check(
          Schema.makeFilter((text) =>
            /^https?:$/.test(URL.parse(text)?.protocol ?? "") ? undefined : "must be an http or https URL"
          )
        )
      )
    ),
    {
      title: "Another server",
      description: "The origin of another server that speaks Gmail's API, instead of Google's.",
      example: "http://127.0.0.1:4567",
      isAdvanced: true
    }
  ),
  quota: field(
    Schema.optionalKey(
      Schema.Struct({
        ...QuotaConfig.fields,
        /** Bytes of messages a day and account. */
        bytesPerDay: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
        /** Units of the OAuth client's project, which all accounts that were signed in with it share. */
        project: Schema.optionalKey(
          Schema.Struct({
            unitsPerMinute: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
            unitsPerDay: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0))))
          })
        )
      })
    ),
    aboutQuota
  )
})
type Config = typeof Config.Type

/**
 * Units a minute and account that Google grants (https://developers.google.com/workspace/gmail/api/reference/quota).
 */
const unitsPerMinute = 6_000

/** Units a minute and a day of a project (same page); more of a day's units than that are charged for. */
const projectGrant = { unitsPerMinute: 1_200_000, unitsPerDay: 80_000_000 }

/** Bytes a day that an account may download by the API (https://support.google.com/a/answer/1071518). */
const bytesPerDay = 2_500_000_000

/** Bytes of a message on average, attachments included: what the estimate assumes. */
const bytesPerMessage = 75_000

/** Units a minute that mean no limit at all: a stand-in's. */
const unlimited = 1_000_000_000

const quotaOf = ({ quota }: Config): Quota => ({ ...quota, unitsPerMinute: quota?.unitsPerMinute ?? unitsPerMinute })

/** The account's units and bytes, and the units of the OAuth client: Google counts all of them. */
const budgetsOf = (config: Config, credentials: Auth.Credentials, account: string): ReadonlyArray<Budget> => {
  const { methods, unitsPerMinute } = quotaOf(config)
  const own = { key: account, unitsPerMinute, methods }
  if (unitsPerMinute >= unlimited) return [own]
  const client = Auth.clientOf(credentials)
  return [
    { ...own, bytesPerDay: config.quota?.bytesPerDay ?? bytesPerDay },
    ...(client === undefined ? [] : [{ key: client, ...projectGrant, ...config.quota?.project }])
  ]
}

/** `query` and `labelIds` where they say something. */
const filterOf = (config: Config): Api.Filter => ({
  query: config.query?.trim() === "" ? undefined : config.query,
  labelIds: config.labelIds?.length === 0 ? undefined : config.labelIds,
  includeSpamTrash: config.includeSpamTrash,
  includeChats: config.includeChats === true || config.labelIds?.includes(Api.chatLabel) === true
})

const withoutChats = (chats: string): string => `${chats} (label ${Api.chatLabel}): includeChats: true takes them`

const scopeOf = (filter: Api.Filter) => {
  const { query, labelIds: wanted = [] } = filter
  // A query may ask for Trash or Spam by itself; then going there is no deletion.
  const everywhere = filter.includeSpamTrash === true || /\bin:(anywhere|trash|spam)\b/i.test(query ?? "")
  return {
    excluded: new Set(everywhere ? [] : ["TRASH", "SPAM"].filter((label) => !wanted.includes(label))),
    ignored: new Set(filter.includeChats ? [] : [Api.chatLabel]),
    wanted,
    listed: query !== undefined || wanted.length > 1
  }
}

export const integration = make({
  domain: "gmail",
  projection,
  title: "Gmail",
  summary: "a mailbox",
  guide: SignIn.guide,
  config: Config,
  credentials: Auth.Credentials,
  checkpoint: Checkpoint,
  scope: ["query", "labelIds", "includeSpamTrash", "includeChats"],
  leftOut: (config) => (filterOf(config).includeChats ? [] : [withoutChats("chats")]),
  address: ["rootUrl"],
  quota: quotaOf,
  budgets: ({ account, config, credentials }) => budgetsOf(config, credentials, account),
  signIn: SignIn.signIn,
  open: Effect.fnUntraced(function* ({ config, credentials, call, network, refreshCredentials }) {
    const { issuer, tokenUrl } = SignIn.signIn.provider(config)
    const endpoint = { issuer, tokenUrl, network }
    const auth = yield* Auth.make({ credentials, endpoint, scope: SignIn.scope, call, refreshCredentials })
    const api = Api.make({ rootUrl: config.rootUrl, auth, call, network })
    const filter = filterOf(config)
    const source: Source = { api, filter, scope: scopeOf(filter) }

    /** The fallback for servers without `getProfile`: emulators. */
    const profileOr = <A>(other: Effect.Effect<A, IntegrationError>) =>
      Effect.catch(api.profile, (error): Effect.Effect<A, IntegrationError> =>
        error.reason._tag === "Gone" ? other : Effect.fail(error)
      )

    return {
      account: profileOr(
        Effect.catch(api.userInfo, (error) =>
          error.reason._tag === "Unauthorized" ? Effect.fail(error) : Effect.succeed({ email: "me" })
        )
      ).pipe(Effect.map((found) => ("email" in found ? found.email : found.emailAddress))),

      estimate: Effect.gen(function* () {
        const unitsPerItem = Api.units["messages.get"] + Api.units["messages.list"] / Api.pageSize
        const listed = Effect.map(api.messages(filter, { maxResults: 1 }), (list) => ({
          messagesTotal: list.resultSizeEstimate
        }))
        const isWhole = filter.query === undefined && filter.labelIds === undefined
        const { messagesTotal } = isWhole ? yield* profileOr(listed) : yield* listed
        const chats = isWhole && !filter.includeChats ? yield* api.chats : 0
        const estimate: Estimate = {
          items: messagesTotal === undefined ? undefined : Math.max(0, messagesTotal - chats),
          unitsPerItem,
          bytesPerItem: bytesPerMessage,
          ...(chats === 0 ? {} : { leftOut: [withoutChats(chats === 1 ? "1 chat" : `${chats} chats`)] })
        }
        return estimate
      }),

      list: (task, checkpoint) => Listing.list(source, task, checkpoint),

      download: Effect.fnUntraced(function* ({ externalId }) {
        const found = yield* api.rawMessage(externalId)
        // Its removal may have been read before this download began: stored now, it would never be found to be gone.
        const admit = (message: Api.Message) => {
          const has = (labels: ReadonlySet<string>) => message.labelIds?.some((label) => labels.has(label)) === true
          if (has(source.scope.excluded)) return Effect.fail(Mail.inTrash(externalId))
          return has(source.scope.ignored) ? Effect.fail(Mail.isChat(externalId)) : Effect.succeed(message)
        }
        if (found._tag === "Streamed") return Mail.streamed(found, admit)
        const message = yield* admit(found.message)
        return message.labelIds?.includes(Api.chatLabel) === true
          ? yield* Effect.flatMap(api.fullMessage(externalId), Mail.chat)
          : yield* Mail.content(message)
      })
    }
  })
})
