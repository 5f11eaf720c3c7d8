/** The config and the credentials of a connection to an IMAP server. */
import * as Schema from "effect/Schema"
import { field } from "../../contract/Field.ts"
import { aboutQuota, QuotaConfig } from "../../contract/Integration.ts"
import * as OAuthGrant from "../../contract/OAuthGrant.ts"

/** The servers of a common provider. Sources: each provider's page on IMAP settings. */
interface Preset {
  readonly host: string
  readonly port: number
  /** The token endpoint, for a provider that accepts access tokens for IMAP. */
  readonly tokenUrl?: string
}

/**
 * - gmail: https://developers.google.com/workspace/gmail/imap/imap-smtp, and for tokens
 *   https://developers.google.com/identity/protocols/oauth2/web-server
 * - outlook: https://support.microsoft.com/office/d088b986-291d-42b8-9564-9c414e2aa040, and for tokens
 *   https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
 * - fastmail: https://www.fastmail.help/hc/en-us/articles/1500000278342
 * - icloud: https://support.apple.com/102525
 * - yahoo: https://help.yahoo.com/kb/SLN4075.html
 * - posteo: https://posteo.de/en/help/how-do-i-set-up-posteo-in-an-email-client-pop3-imap-and-smtp
 */
const presets = {
  gmail: { host: "imap.gmail.com", port: 993, tokenUrl: "https://oauth2.googleapis.com/token" },
  outlook: {
    host: "outlook.office365.com",
    port: 993,
    tokenUrl: "https://login.microsoftonline.com/common/oauth2/v2.0/token"
  },
  fastmail: { host: "imap.fastmail.com", port: 993 },
  icloud: { host: "imap.mail.me.com", port: 993 },
  yahoo: { host: "imap.mail.yahoo.com", port: 993 },
  posteo: { host: "posteo.de", port: 993 }
} satisfies Record<string, Preset>

const providers = ["gmail", "outlook", "fastmail", "icloud", "yahoo", "posteo"] as const

const Text = Schema.String.pipe(
  Schema.check(Schema.makeFilter<string>((text) => (/[\r\n\0]/.test(text) ? "must be one line" : undefined)))
)
const Filled = Text.pipe(Schema.check(Schema.isNonEmpty()))
const Positive = Schema.Int.pipe(Schema.check(Schema.isGreaterThan(0)))

export const Config = Schema.Struct({
  provider: field(Schema.optionalKey(Schema.Literals(providers)), {
    title: "Provider",
    description: "Sets the server. Without a provider, give the host.",
    example: "fastmail"
  }),
  host: field(Schema.optionalKey(Filled), {
    title: "Server",
    description: "The server's name or address. Needed without a provider.",
    example: "imap.example.com"
  }),
  port: field(Schema.optionalKey(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })))), {
    title: "Port",
    description: "Default 993; 143 without TLS from the first byte.",
    example: 993,
    isAdvanced: true
  }),
  tls: field(Schema.optionalKey(Schema.Union([Schema.Boolean, Schema.Literal("starttls")])), {
    title: "TLS",
    description:
      "Default true: TLS from the first byte. starttls begins in clear and changes to TLS before the login, or fails. false sends the password in clear.",
    example: "starttls",
    isAdvanced: true
  }),
  ca: field(Schema.optionalKey(Schema.String), {
    title: "Certificate authority",
    description: "Certificates (PEM) to trust instead of the system's authorities.",
    isAdvanced: true
  }),
  verifyCertificate: field(Schema.optionalKey(Schema.Boolean), {
    title: "Verify the certificate",
    description: "Default true; false accepts any certificate.",
    isAdvanced: true
  }),
  mailboxes: field(Schema.optionalKey(Schema.Array(Filled)), {
    title: "Only these mailboxes",
    description: "Names or globs, with / between the levels of a name; empty mirrors all but Junk and Trash.",
    example: ["INBOX", "Archive/**"]
  }),
  exclude: field(Schema.optionalKey(Schema.Array(Filled)), {
    title: "Without these mailboxes",
    description: "Names or globs, with / between the levels of a name.",
    example: ["Lists"],
    isAdvanced: true
  }),
  includeSpamTrash: field(Schema.optionalKey(Schema.Boolean), {
    title: "Junk and Trash too",
    description: "Default false: a message that goes to Junk or Trash counts as deleted."
  }),
  maxMessageSize: field(Schema.optionalKey(Positive), {
    title: "Largest message",
    description: "In bytes; a larger one is not downloaded and stays in the ledger. Default: no limit.",
    isAdvanced: true
  }),
  connections: field(Schema.optionalKey(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 16 })))), {
    title: "Connections",
    description: "To the server at a time, 1 to 16. Default 3.",
    isAdvanced: true
  }),
  timeout: field(Schema.optionalKey(Schema.DurationFromString), {
    title: "Timeout",
    description: "How long the server may be silent. Default 30 seconds.",
    example: "1 minute",
    isAdvanced: true
  }),
  compress: field(Schema.optionalKey(Schema.Boolean), {
    title: "Compress",
    description: "Default true: COMPRESS=DEFLATE (RFC 4978) if the server supports it.",
    isAdvanced: true
  }),
  quota: field(Schema.optionalKey(QuotaConfig), aboutQuota)
}).pipe(
  Schema.check(
    Schema.makeFilter(({ host, provider }) =>
      host === undefined && provider === undefined ? `needs a "host" or a "provider"` : undefined
    )
  )
)
export type Config = typeof Config.Type

const Secret = Schema.Redacted(Schema.String)

const username = field(Filled, {
  title: "User name",
  description: "For most providers the whole email address.",
  example: "ann@example.com"
})

const TokenUrl = Schema.URLFromString.pipe(
  Schema.check(
    Schema.makeFilter<URL>(({ hostname, protocol }) =>
      protocol === "https:" || hostname === "127.0.0.1" || hostname === "localhost"
        ? undefined
        : "it must begin with https://"
    )
  )
)

/**
 * A password (with many providers an app password); or for XOAUTH2 or OAUTHBEARER a grant, whose access tokens Idem
 * refreshes, or an access token.
 */
export const Credentials = Schema.Union([
  Schema.Struct({
    username,
    password: field(Secret, {
      title: "Password",
      description: "Gmail, Yahoo, iCloud and Fastmail need an app password, which you create in the account's settings."
    })
  }).annotate({ title: "A password" }),
  Schema.Struct({
    username,
    ...OAuthGrant.fields,
    tokenUrl: field(Schema.optionalKey(TokenUrl), {
      title: "Token endpoint",
      description: "Where the refresh token is exchanged. Google's and Microsoft's are known by the provider.",
      example: "https://login.example.com/oauth2/token"
    })
  }).annotate({ title: "An OAuth client and its refresh token" }),
  Schema.Struct({
    username,
    accessToken: field(Secret, {
      title: "Access token",
      description: "For XOAUTH2 or OAUTHBEARER. Idem does not renew it."
    })
  }).annotate({ title: "An access token" })
])
export type Credentials = typeof Credentials.Type

const presetOf = ({ provider }: Config): Preset | undefined => (provider === undefined ? undefined : presets[provider])

/** Returns the token endpoint that refreshes these credentials; undefined if nothing names it. */
export const tokenUrlOf = (config: Config, given: URL | undefined): URL | undefined => {
  const known = presetOf(config)?.tokenUrl
  return given ?? (known === undefined ? undefined : new URL(known))
}

/** Returns the server of a config, and how the connection to it is secured. */
export const serverOf = (config: Config) => {
  const preset = presetOf(config)
  const { port, tls = true } = config
  const security = tls === true && port !== 143 ? "tls" : tls === false ? "none" : "starttls"
  return {
    host: config.host ?? preset?.host ?? "",
    port: port ?? (security === "tls" ? (preset?.port ?? 993) : 143),
    security
  } as const
}

/** Describes the messages that are left out, and the setting that includes them. */
export const messagesIn = (mailbox: string): string => `messages in ${mailbox}: includeSpamTrash: true takes them`
