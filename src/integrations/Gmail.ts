/**
 * Gmail: each message as it was received (RFC 822 bytes), its labels as metadata. External ids are Gmail's message ids.
 *
 * - gmail/Config.ts: settings · Credentials.ts, Auth.ts, TokenEndpoint.ts: credentials and access tokens · SignIn.ts:
 *   how an account is signed in · Session.ts: an open connection
 * - gmail/Api.ts: the API's methods · Resources.ts: what they return · GoogleClient.ts, Transport.ts: requests ·
 *   Errors.ts: Google's errors as reasons
 * - gmail/Listing.ts: the order of a listing · History.ts, HistoryChanges.ts: the history · FullSync.ts: all messages,
 *   and the watermark · LabelRebuild.ts: labels rebuilt · TaskListing.ts: forced and windowed tasks · MessagePages.ts:
 *   pages without chats
 * - gmail/RawMessage.ts, RawReader.ts: a message's bytes, also as they arrive · MessageContent.ts: a message as content
 */
import * as Effect from "effect/Effect"
import { type Budget, make, type Quota } from "../contract/Integration.ts"
import { clientOf, Credentials } from "./gmail/Credentials.ts"
import { Checkpoint } from "./gmail/Checkpoint.ts"
import { Config, filterOf, withoutChats } from "./gmail/Config.ts"
import { projection } from "./gmail/Projection.ts"
import * as SignIn from "./gmail/SignIn.ts"
import { unlimited } from "../contract/Quota.ts"

/**
 * The units a minute that Google grants an account (https://developers.google.com/workspace/gmail/api/reference/quota).
 */
const unitsPerMinute = 6_000

/** The units a minute and a day of a project (same page). Google charges for more units a day. */
const projectGrant = { unitsPerMinute: 1_200_000, unitsPerDay: 80_000_000 }

/** The bytes a day that an account may download through the API (https://support.google.com/a/answer/1071518). */
const bytesPerDay = 2_500_000_000

const quotaOf = ({ quota }: Config): Quota => ({ ...quota, unitsPerMinute: quota?.unitsPerMinute ?? unitsPerMinute })

/** Returns the budgets of the account's units and bytes, and of the OAuth client's units: Google limits all of them. */
const budgetsOf = (config: Config, credentials: Credentials, account: string): ReadonlyArray<Budget> => {
  const { methods, unitsPerMinute } = quotaOf(config)
  const own = { key: account, unitsPerMinute, methods }
  if (unitsPerMinute >= unlimited) return [own]
  const client = clientOf(credentials)
  return [
    { ...own, bytesPerDay: config.quota?.bytesPerDay ?? bytesPerDay },
    ...(client === undefined ? [] : [{ key: client, ...projectGrant, ...config.quota?.project }])
  ]
}

export const integration = make({
  domain: "gmail",
  projection,
  title: "Gmail",
  summary: "a mailbox",
  guide: SignIn.guide,
  config: Config,
  credentials: Credentials,
  checkpoint: Checkpoint,
  scope: ["query", "labelIds", "includeSpamTrash", "includeChats"],
  leftOut: (config) => (filterOf(config).includeChats ? [] : [withoutChats("chats")]),
  address: ["rootUrl"],
  quota: quotaOf,
  budgets: ({ account, config, credentials }) => budgetsOf(config, credentials, account),
  signIn: SignIn.signIn,
  // Loaded when a connection is opened, so that commands that only read do not load it.
  open: (options) =>
    Effect.flatMap(
      Effect.promise(() => import("./gmail/Session.ts")),
      ({ open }) => open(options)
    )
})
