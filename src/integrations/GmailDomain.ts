/**
 * All mailboxes of a Google Workspace, with one key of a service account. The contents of such a connection are the
 * domain's users, and the engine creates a Gmail connection for each user's mailbox (see src/contract/Members.ts).
 *
 * External ids are the users' ids, which do not change with the address. The list of users is read in full at each
 * poll: 1 call for 500 users.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../contract/Content.ts"
import { ContentExistenceChecker, type ContentExistenceCheckerError } from "../contract/ContentExistenceChecker.ts"
import { field } from "../contract/Field.ts"
import { aboutQuota, make, QuotaConfig } from "../contract/Integration.ts"
import { IntegrationError, Malformed, Transient } from "../contract/IntegrationError.ts"
import type { Page } from "../contract/Page.ts"
import * as Auth from "./gmail/Auth.ts"
import { ServiceAccount } from "./gmail/Credentials.ts"
import { Config as MailboxConfig } from "./gmail/Config.ts"
import * as WorkspaceUsers from "./gmail/WorkspaceUsers.ts"
import { signIn } from "./gmail/SignIn.ts"

const { rootUrl, ...mailboxFields } = MailboxConfig.fields

const Config = Schema.Struct({
  rootUrl,
  domains: field(Schema.optionalKey(Schema.Array(Schema.NonEmptyString)), {
    title: "Only these domains",
    description: "Only users with an address in one of these domains. Default: all domains of the customer.",
    example: ["example.com"]
  }),
  orgUnits: field(Schema.optionalKey(Schema.Array(Schema.NonEmptyString)), {
    title: "Only these organizational units",
    description: "Only users in these units and in the units below them.",
    example: ["/Sales"]
  }),
  exclude: field(Schema.optionalKey(Schema.Array(Schema.NonEmptyString)), {
    title: "Without these users",
    description: "The addresses of the users to leave out.",
    example: ["archive@example.com"]
  }),
  mailboxes: field(Schema.optionalKey(Schema.Struct(mailboxFields)), {
    title: "Settings of each mailbox",
    description: "The config of a gmail connection.",
    example: { query: "newer_than:1y" },
    isAdvanced: true
  }),
  mailboxEvery: field(Schema.optionalKey(Schema.DurationFromString), {
    title: "Each mailbox polled every",
    description: "Default 5 minutes.",
    example: "10 minutes",
    isAdvanced: true
  }),
  quota: field(Schema.optionalKey(QuotaConfig), aboutQuota)
})
type Config = typeof Config.Type

/**
 * Where a listing of the users continues, or the listing that the next poll reads once more. The list is in the order
 * of addresses, so a user whose address changes while several pages are read may be on none of them: a listing of
 * several pages is read in two polls, and shows all users of both.
 */
const Checkpoint = Schema.Struct({
  listing: Schema.optionalKey(
    Schema.Struct({ name: Schema.String, pageToken: Schema.String, isSecond: Schema.optionalKey(Schema.Boolean) })
  ),
  again: Schema.optionalKey(Schema.String)
})
type Checkpoint = typeof Checkpoint.Type

/** The next page of a listing, and whether the listing is repeated. */
interface Step {
  readonly at: Checkpoint["listing"]
  readonly isAgain: boolean
}

/**
 * The queries a minute that Google grants a user (https://developers.google.com/workspace/admin/directory/v1/limits).
 */
const queriesPerMinute = 2_400

/** The stored fields of a user. Other fields, such as the last sign-in, change without a change of the mailbox. */
const Kept = Schema.Struct({
  email: Schema.String,
  name: Schema.NullOr(Schema.String),
  suspended: Schema.Boolean,
  archived: Schema.Boolean,
  mailbox: Schema.Boolean,
  orgUnit: Schema.NullOr(Schema.String)
})
const decodeKept = Schema.decodeUnknownOption(Kept)

const content = (user: WorkspaceUsers.User): Content => {
  const kept: typeof Kept.Type = {
    email: user.primaryEmail.toLowerCase(),
    name: user.name?.fullName ?? null,
    suspended: user.suspended === true,
    archived: user.archived === true,
    // Treated as set up if the directory does not report it.
    mailbox: user.isMailboxSetup !== false,
    orgUnit: user.orgUnitPath ?? null
  }
  return {
    kind: "user",
    title: kept.name === null ? kept.email : `${kept.name} <${kept.email}>`,
    mediaType: "application/json",
    metadata: kept,
    body: new TextEncoder().encode(JSON.stringify(kept))
  }
}

const refOf = (user: WorkspaceUsers.User): Ref => {
  const found = content(user)
  return { externalId: user.id, revision: JSON.stringify(found.metadata), content: found }
}

const isBelow = (unit: string | null, parents: ReadonlyArray<string>): boolean =>
  parents.some((parent) => unit === parent || unit?.startsWith(parent.endsWith("/") ? parent : `${parent}/`) === true)

/** Returns why the user's mailbox is not mirrored, or undefined if it is. */
const inactive = (user: typeof Kept.Type, { domains, exclude, orgUnits }: Config): string | undefined => {
  const [, domain = ""] = user.email.split("@")
  const isNamed = (names: ReadonlyArray<string>, name: string) => names.some((each) => each.toLowerCase() === name)
  if (user.archived) return "its user is archived"
  if (user.suspended) return "its user is suspended"
  if (!user.mailbox) return "its user has no Gmail mailbox"
  if (exclude !== undefined && isNamed(exclude, user.email)) return "its user is excluded by the config"
  if (domains !== undefined && !isNamed(domains, domain)) return "its user is outside the domains of the config"
  if (orgUnits !== undefined && !isBelow(user.orgUnit, orgUnits)) return "its user is outside the units of the config"
  return undefined
}

const fail = (reason: IntegrationError["reason"]) => Effect.fail(new IntegrationError({ reason }))

export const integration = make({
  domain: "gmail-domain",
  title: "Google Workspace",
  summary: "all mailboxes of a company",
  config: Config,
  credentials: ServiceAccount,
  checkpoint: Checkpoint,
  scope: [],
  address: ["rootUrl"],
  quota: ({ quota }) => ({ ...quota, unitsPerMinute: quota?.unitsPerMinute ?? queriesPerMinute }),
  // A company rarely loses more users between two polls without a known reason.
  deletionLimits: { deletions: 5, deletionShare: 0.02 },
  members: {
    domain: "gmail",
    of: ({ config, credentials }, account) => {
      const user = Option.getOrUndefined(decodeKept(account.metadata))
      if (user === undefined) return undefined
      const { serviceAccount } = credentials
      return {
        name: user.email,
        account: user.email,
        config: Schema.encodeSync(MailboxConfig)({
          ...config.mailboxes,
          ...(config.rootUrl === undefined ? {} : { rootUrl: config.rootUrl })
        }),
        credentials: Schema.encodeSync(Schema.toCodecJson(ServiceAccount))({
          serviceAccount,
          subject: user.email
        }),
        every: config.mailboxEvery,
        inactive: inactive(user, config)
      }
    }
  },
  open: Effect.fnUntraced(function* ({ config, credentials, call, network, refreshCredentials }) {
    const { issuer, tokenUrl } = signIn.provider(config)
    const auth = yield* Auth.ofServiceAccount({
      credentials,
      endpoint: { issuer, tokenUrl, network },
      scope: WorkspaceUsers.scope,
      call,
      refreshCredentials
    })
    const directory = WorkspaceUsers.make({
      rootUrl: config.rootUrl,
      auth,
      call,
      network,
      subject: credentials.subject
    })

    return {
      // The account is the customer's id, because the administrator (`subject`) may change.
      account: Effect.flatMap(directory.user(credentials.subject), ({ customerId }) =>
        customerId === undefined
          ? fail(new Malformed({ message: `Google does not say to which customer ${credentials.subject} belongs` }))
          : Effect.succeed(customerId)
      ),

      estimate: Effect.map(directory.users(undefined), ({ nextPageToken, users = [] }) => ({
        ...(nextPageToken === undefined ? { items: users.length } : {}),
        unitsPerItem: 0
      })),

      list: (task, checkpoint) => {
        const { again, listing } = Option.getOrElse(checkpoint, (): Checkpoint => ({}))
        const step = Effect.fnUntraced(function* ({ at, isAgain }: Step) {
          const { nextPageToken, users = [] } = yield* Effect.catch(
            directory.users(at?.pageToken),
            // A page token expires after 3 days. The page is then treated as one without users.
            (error) =>
              at !== undefined && error.reason._tag === "Malformed"
                ? Effect.succeed<WorkspaceUsers.UserList>({})
                : Effect.fail(error)
          )
          // A customer has at least one administrator, and a page after a page token has users: an empty page proves
          // nothing, and the listing is repeated once.
          if (users.length === 0) {
            if (at !== undefined && !isAgain) return [[], Option.some<Step>({ at: undefined, isAgain: true })] as const
            const message = "Google's list of users is incomplete: no user counts as removed"
            return yield* fail(new Transient({ message }))
          }
          const name = at?.name ?? again ?? `users ${Math.abs(yield* Random.nextInt).toString(36)}`
          const isSecond = at === undefined ? again !== undefined : at.isSecond === true
          const isWhole = isSecond || at === undefined
          const listed = users.map(refOf)
          const next = nextPageToken === undefined ? undefined : { name, pageToken: nextPageToken, isSecond }
          const end = isWhole ? { covers: [{ prefix: "" }], checkpoint: {} } : { checkpoint: { again: name } }
          const page: Page<Checkpoint> = {
            listed,
            download: yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" }),
            listing: name,
            ...(next === undefined ? end : { checkpoint: { listing: next } })
          }
          return [[page], next === undefined ? Option.none<Step>() : Option.some<Step>({ at: next, isAgain })] as const
        })
        return Stream.paginate<
          Step,
          Page<Checkpoint>,
          IntegrationError | ContentExistenceCheckerError,
          ContentExistenceChecker
        >({ at: listing, isAgain: false }, step)
      },

      download: ({ externalId }) =>
        Effect.map(directory.user(externalId), (user) => ({ ...content(user), revision: refOf(user).revision }))
    }
  })
})
