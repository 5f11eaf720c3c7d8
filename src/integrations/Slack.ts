/**
 * Slack: every conversation that the token may read, with its threads and files, its users and channels.
 *
 * External ids: `C…/ts` (a message or a reply), `files/F…`, `users/U…`, `channels/C…`. slack/Listing.ts describes the
 * order of a listing and the cost of an idle poll; slack/Message.ts describes bodies.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { field } from "../contract/Field.ts"
import * as Integration from "../contract/Integration.ts"
import { Checkpoint, Kind, Part } from "./slack/Checkpoint.ts"
import * as Auth from "./slack/Auth.ts"
import * as SignedCallback from "./slack/SignedCallback.ts"
import * as Client from "./slack/Client.ts"
import * as Download from "./slack/Download.ts"
import * as Listing from "./slack/Listing.ts"
import type * as ConversationVisits from "./slack/ConversationVisits.ts"
import * as SocketMode from "./slack/SocketMode.ts"
import { projection } from "./slack/Projection.ts"
import { guide, signIn } from "./slack/SignIn.ts"

const Config = Schema.Struct({
  channels: field(Schema.optionalKey(Schema.Array(Schema.NonEmptyString).pipe(Schema.check(Schema.isMinLength(1)))), {
    title: "Only these conversations",
    description: "Ids or names; empty mirrors all that the token may read.",
    example: ["general", "C024BE91L"]
  }),
  types: field(Schema.optionalKey(Schema.Array(Kind).pipe(Schema.check(Schema.isMinLength(1)))), {
    title: "Only these kinds of conversation",
    description: "Any of public_channel, private_channel, im (direct messages) and mpim (group messages). Default all.",
    example: ["public_channel"],
    isAdvanced: true
  }),
  files: field(Schema.optionalKey(Schema.Boolean), {
    title: "Files too",
    description: "Files that messages carry, each as content of its own. Default yes."
  }),
  maxFileSize: field(Schema.optionalKey(Schema.Int.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0)))), {
    title: "Largest file",
    description: "In bytes. A larger file goes to the ledger as TooLarge. Default 1 GiB.",
    example: 104857600,
    isAdvanced: true
  }),
  lookback: field(Schema.optionalKey(Schema.DurationFromString), {
    title: "Late replies",
    description: "How far back each poll looks for late replies and edits. Default 30 days.",
    example: "30 days",
    isAdvanced: true
  }),
  sweepEvery: field(Schema.optionalKey(Schema.DurationFromString), {
    title: "Full reading",
    description:
      "How often the history of each conversation is read from end to end. Default 1 day; 7 days while events come.",
    example: "1 day",
    isAdvanced: true
  }),
  preset: field(Schema.optionalKey(Schema.Literals(["standard", "non-marketplace"])), {
    title: "Limits of the app",
    description:
      "non-marketplace: the limits of an app that is distributed outside Slack's Marketplace, 1 request a minute for history and replies.",
    isAdvanced: true
  }),
  slackApiUrl: field(
    Schema.optionalKey(
      Schema.String.pipe(
        Schema.check(Schema.makeFilter<string>((url) => (URL.canParse(url) ? undefined : "must be a URL")))
      )
    ),
    {
      title: "Another server",
      description: "Where the API is. Files are then fetched from its host too, with the token.",
      example: "http://127.0.0.1:4567/api/",
      isAdvanced: true
    }
  ),
  quota: field(Schema.optionalKey(Integration.QuotaConfig), Integration.aboutQuota)
})
type Config = typeof Config.Type

const Identity = Schema.Struct({ team_id: Schema.String, user_id: Schema.String })

/**
 * Calls a minute by Slack's tiers (docs.slack.dev, rate limits), per method, workspace and app: tier 2 is 20, tier 3 is
 * 50, tier 4 is 100. Since 2025, apps that are distributed outside the Marketplace get 1 for history and replies.
 */
const methods = {
  "conversations.history": 50,
  "conversations.replies": 50,
  "conversations.list": 20,
  "conversations.info": 50,
  "users.list": 20,
  "users.info": 100,
  "files.info": 100,
  "search.messages": 20,
  "files.download": 100
}

/** Slack has no limit for an account, so this exceeds the sum of the methods' limits. */
const unitsPerMinute = 600

/**
 * Returns the quota of a config. If it sets units a minute, the grant differs from Slack's default: then only the
 * methods that it names are limited.
 */
const quota = (config: Config): Integration.Quota => {
  const slow = config.preset === "non-marketplace" ? { "conversations.history": 1, "conversations.replies": 1 } : {}
  const granted = config.quota?.unitsPerMinute === undefined ? { ...methods, ...slow } : {}
  return {
    unitsPerMinute: config.quota?.unitsPerMinute ?? unitsPerMinute,
    weights: config.quota?.weights,
    methods: { ...granted, ...config.quota?.methods }
  }
}

export const integration: Integration.Integration = Integration.make<Config, Auth.Credentials, Checkpoint, Part>({
  domain: "slack",
  projection,
  title: "Slack",
  summary: "a workspace",
  guide,
  config: Config,
  credentials: Auth.Credentials,
  checkpoint: Checkpoint,
  part: Part,
  scope: ["channels", "types", "files"],
  address: ["slackApiUrl"],
  quota,
  // Slack counts the calls of a method for each workspace and app, not for each token.
  budgets: ({ account, config, credentials }) => {
    const { methods, unitsPerMinute } = quota(config)
    const [workspace = account] = account.split("/")
    const app = "clientId" in credentials ? `/${credentials.clientId}` : ""
    return [{ key: `${workspace}${app}`, unitsPerMinute, methods }]
  },
  signIn,
  callbacks: SignedCallback.receive,
  hints: ({ call, config, credentials, network }) =>
    credentials.appToken === undefined
      ? undefined
      : SocketMode.hints({ appToken: credentials.appToken, slackApiUrl: config.slackApiUrl, call, network }),
  open: ({ call, config, credentials, network: { fetch }, refreshCredentials }) =>
    Effect.gen(function* () {
      const small = config.preset === "non-marketplace"
      const { slackApiUrl } = config
      const auth = Auth.make({ credentials, refreshCredentials, slackApiUrl, call, fetch })
      const client = Client.make({ auth, slackApiUrl, call, fetch })
      const settings: ConversationVisits.Settings = {
        client,
        types: config.types ?? ["public_channel", "private_channel", "im", "mpim"],
        channels: config.channels,
        // True for the prefix of a bot's token, or of one with token rotation. A user's token reads public channels
        // even if the user is not a member.
        bot: Effect.map(auth.token, (token) => /^(xoxe\.)?xoxb-/.test(Redacted.value(token))),
        lookback: config.lookback ?? Duration.days(30),
        sweepEvery: config.sweepEvery,
        files: config.files ?? true,
        lookbackCalls: (conversations) => (small ? 2 : conversations + 10),
        limit: small ? 15 : 999,
        callsPerStep: small ? 1 : 8,
        historyCalls: small ? 2 : 100,
        tourCalls: small ? 2 : 20,
        suspectCalls: small ? 2 : 100
      }
      const download = Download.make({ client, maxFileSize: config.maxFileSize ?? 1024 ** 3 })
      return {
        account: Effect.map(
          client.request("auth.test", {}, Identity),
          (identity) => `${identity.team_id}/${identity.user_id}`
        ),
        // Slack reports no totals. One item costs a share of a history response, and of a replies response.
        estimate: Effect.succeed({ unitsPerItem: small ? 2 / 15 : 0.01 }),
        list: (task, checkpoint, parts) => Listing.make(settings, task, checkpoint, parts),
        download: (ref) => download(ref.externalId)
      }
    })
})
