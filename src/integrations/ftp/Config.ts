/** The config and the credentials of a connection to a file server. */
import * as Schema from "effect/Schema"
import { field } from "../../contract/Field.ts"
import { aboutQuota, QuotaConfig } from "../../contract/Integration.ts"

const Text = Schema.String.pipe(
  Schema.check(Schema.makeFilter<string>((text) => (/[\r\n\0]/.test(text) ? "must be one line" : undefined)))
)
const Filled = Text.pipe(Schema.check(Schema.isNonEmpty()))
const Port = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })))
const Positive = Schema.Int.pipe(Schema.check(Schema.isGreaterThan(0)))

export const Config = Schema.Struct({
  protocol: field(Schema.Literals(["ftp", "ftps", "sftp"]), {
    title: "Protocol",
    description: "sftp is over SSH, ftps is FTP over TLS, ftp sends everything in clear.",
    example: "sftp"
  }),
  host: field(Filled, {
    title: "Server",
    description: "Its name or address, without a protocol.",
    example: "files.example.com"
  }),
  port: field(Schema.optionalKey(Port), {
    title: "Port",
    description: "Default 21; 22 for sftp, 990 for implicit TLS.",
    example: 2222
  }),
  root: field(Schema.optionalKey(Text), {
    title: "Folder",
    description: "The folder to mirror; may be a link. Default: the folder in which a login starts.",
    example: "/reports"
  }),
  include: field(Schema.optionalKey(Schema.Array(Schema.String)), {
    title: "Only these files",
    description: "Globs on the path below the folder; empty mirrors all.",
    example: ["**/*.pdf"]
  }),
  exclude: field(Schema.optionalKey(Schema.Array(Schema.String)), {
    title: "Without these files",
    description: "Globs on the path below the folder.",
    example: ["tmp/**"],
    isAdvanced: true
  }),
  compare: field(Schema.optionalKey(Schema.Literals(["content", "revision"])), {
    title: "How a change is seen",
    description:
      "revision: by size and time; content: by downloading every file at every poll. Default: revision where the server tells times to the second (MLSD, MDTM, SFTP).",
    isAdvanced: true
  }),
  verifyEvery: field(Schema.optionalKey(Schema.NullOr(Schema.DurationFromString)), {
    title: "Verify every",
    description: "With revision: how often every file is downloaded and compared. Default 30 days, null never.",
    example: "30 days",
    isAdvanced: true
  }),
  // The bound also ends loops of links that a server does not report.
  maxDepth: field(Schema.optionalKey(Positive), {
    title: "Depth",
    description: "How many folders deep below the folder. Default 32.",
    example: 32,
    isAdvanced: true
  }),
  maxEntries: field(Schema.optionalKey(Positive), {
    title: "Most entries",
    description:
      "The most files and folders that one pass lists; the rest is reported as a problem. Default 5,000,000.",
    example: 5000000,
    isAdvanced: true
  }),
  maxFileSize: field(Schema.optionalKey(Positive), {
    title: "Largest file",
    description: "In bytes. A larger file goes to the ledger as TooLarge. No limit by default.",
    example: 104857600,
    isAdvanced: true
  }),
  settle: field(Schema.optionalKey(Schema.DurationFromString), {
    title: "Leave alone for",
    description:
      "How long a file must be unchanged, by the server's and this machine's clock, before its download. Default 0.",
    example: "1 minute",
    isAdvanced: true
  }),
  hostKey: field(Schema.optionalKey(Schema.Union([Schema.String, Schema.Array(Schema.String)])), {
    title: "Host key",
    description:
      "sftp: the server's public key, or its SHA256: fingerprint; any of them where there are several. Default: the first one seen.",
    example: "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
    isAdvanced: true
  }),
  ca: field(Schema.optionalKey(Schema.String), {
    title: "Certificates",
    description: "ftps: certificates (PEM) to trust instead of the system's authorities.",
    isAdvanced: true
  }),
  verifyCertificate: field(Schema.optionalKey(Schema.Boolean), {
    title: "Verify the certificate",
    description: "ftps: no accepts any certificate. Default yes.",
    isAdvanced: true
  }),
  implicit: field(Schema.optionalKey(Schema.Boolean), {
    title: "Implicit TLS",
    description: "ftps: TLS from the first byte. Default: on port 990 only.",
    isAdvanced: true
  }),
  connections: field(Schema.optionalKey(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 16 })))), {
    title: "Connections",
    description: "How many at a time, 1 to 16. Default 4.",
    example: 4,
    isAdvanced: true
  }),
  timeout: field(Schema.optionalKey(Schema.DurationFromString), {
    title: "Timeout",
    description: "How long the server may be silent. Default 30 seconds.",
    example: "30 seconds",
    isAdvanced: true
  }),
  quota: field(Schema.optionalKey(QuotaConfig), aboutQuota)
})
export type Config = typeof Config.Type

const Secret = Schema.Redacted(Schema.String)

const aboutUsername = { title: "User", description: "The name that logs in.", example: "you" }

const knownHost = field(Schema.optionalKey(Text), {
  title: "Known host",
  description: "The fingerprint of the server that answered first. Idem keeps it here.",
  isInternal: true
})

/**
 * A password (without name and password, the login is anonymous). For sftp also a private key in OpenSSH's or PEM form,
 * or `agent`: the keys of the ssh-agent at SSH_AUTH_SOCK of the process that syncs. The integration itself stores
 * `knownHost`: the fingerprint of the server that answered first.
 */
export const Credentials = Schema.Union([
  Schema.Struct({
    username: field(Schema.optionalKey(Text), aboutUsername),
    password: field(Schema.optionalKey(Secret), {
      title: "Password",
      description: "Leave out both for an anonymous login.",
      example: "…"
    }),
    knownHost
  }).annotate({ title: "A password" }),
  Schema.Struct({
    username: field(Text, aboutUsername),
    privateKey: field(Secret, {
      title: "Private key",
      description: "sftp: in OpenSSH's or PEM form. On the command line also @FILE.",
      example: "@/home/you/.ssh/id_ed25519"
    }),
    passphrase: field(Schema.optionalKey(Secret), {
      title: "Passphrase",
      description: "Of the private key, if it has one.",
      example: "…"
    }),
    knownHost
  }).annotate({ title: "A private key" }),
  Schema.Struct({
    username: field(Text, aboutUsername),
    agent: field(Schema.Literal(true), {
      title: "Keys of the ssh-agent",
      description: "sftp: the keys of the agent at SSH_AUTH_SOCK, in the process that syncs.",
      example: true
    }),
    knownHost
  }).annotate({ title: "The ssh-agent" })
])
export type Credentials = typeof Credentials.Type

/** Returns the port, or the protocol's default port. */
export const portOf = (config: Config): number =>
  config.port ?? (config.protocol === "sftp" ? 22 : config.protocol === "ftps" && config.implicit === true ? 990 : 21)

/** The user; a login without a name is anonymous. */
export const usernameOf = (credentials: Credentials): string => credentials.username ?? "anonymous"
