/** Parses the URL of a PostgreSQL database. A parameter that Idem would ignore is refused, as libpq refuses it. */
import type { PgPoolConfig } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as MessageText from "../../engine/MessageText.ts"
import { explain } from "../../engine/SystemErrors.ts"

export interface DatabaseUrl {
  /** The host with its port, for messages. */
  readonly host: string
  readonly database: string
  /** The parameter `options`: settings of each session. */
  readonly options: string | null
  /** The settings of the client that it does not read from the URL, or reads in another way. */
  readonly client: Pick<PgPoolConfig, "host" | "path" | "port" | "ssl" | "username">
}

const sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

/** Parameters that the client or this module reads. `ssl=true` means `sslmode=require`, as in libpq. */
const supported = [
  "connect_timeout",
  "dbname",
  "host",
  "options",
  "password",
  "port",
  "ssl",
  "sslmode",
  "sslrootcert",
  "user"
]

/**
 * Parameters without effect in Idem, which URLs of hosting providers, ORMs and poolers have:
 *
 * - Idem's sessions are named `idem`, are encoded in UTF-8, and detect broken connections by their own limits.
 * - Idem always verifies the certificate of the server, which TLS without channel binding needs.
 * - Idem connects to one server, and refuses a server that does not accept writes.
 * - Parameters of Prisma, node-postgres and Supabase configure a pool. `IDEM_PGBOUNCER` is Idem's own setting.
 */
const withoutEffect = [
  "application_name",
  "channel_binding",
  "client_encoding",
  "connection_limit",
  "fallback_application_name",
  "gssencmode",
  "keepalives",
  "keepalives_count",
  "keepalives_idle",
  "keepalives_interval",
  "load_balance_hosts",
  "pgbouncer",
  "pool_timeout",
  "schema",
  "socket_timeout",
  "sslaccept",
  "sslcompression",
  "sslnegotiation",
  "sslsni",
  "statement_cache_size",
  "supa",
  "target_session_attrs",
  "tcp_user_timeout",
  "uselibpqcompat",
  "workaround"
]

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535

/** Returns the name of a parameter that would be ignored. */
const unknownIn = (parameters: URLSearchParams): string | undefined =>
  [...parameters.keys()].find((name) => !supported.includes(name) && !withoutEffect.includes(name))

/** Returns why the parameters can't be used; undefined if they can. Repeats no value. */
const problemOf = (parameters: URLSearchParams): string | undefined => {
  const unknown = unknownIn(parameters)
  if (unknown !== undefined) {
    const meant = MessageText.nearest(unknown, [...supported, ...withoutEffect])
    const hint = meant === undefined ? `the supported ones are ${supported.join(", ")}` : `did you mean ${meant}?`
    return `the parameter ${MessageText.quoted(unknown)} is not supported; ${hint}`
  }
  const mode = parameters.get("sslmode")
  const isEncrypted = mode === null ? parameters.has("ssl") : /^(require|verify)/.test(mode)
  if (mode !== null && !sslModes.includes(mode)) return `sslmode is not one of ${sslModes.join(", ")}`
  if ((parameters.get("ssl") ?? "true") !== "true") return "ssl is not true: set sslmode instead"
  if ((parameters.get("schema") ?? "public") !== "public") {
    return "schema is a parameter of Prisma: set options=-c%20search_path%3DSCHEMA instead"
  }
  if (!/^\d{0,6}$/.test(parameters.get("connect_timeout") ?? "0")) {
    return "connect_timeout is not a whole number of seconds"
  }
  const certificates = parameters.has("sslrootcert") || parameters.get("channel_binding") === "require"
  return certificates && !isEncrypted
    ? "sslrootcert and channel_binding=require need TLS: add sslmode=verify-full"
    : undefined
}

/** Reads the file of certificate authorities. `system` means those of Node, which are the default. */
const authorities = (file: string | null) =>
  file === null || file === "system"
    ? Effect.undefined
    : Effect.tryPromise({
        try: () => Fs.readFile(file, "utf8"),
        catch: (cause) => `sslrootcert: ${file} can't be read: ${explain(cause)}`
      })

/** The form of a URL. Errors that name only the form repeat no part of the URL, which has a password. */
const form =
  "is not of the form postgresql://user:password@host:port/database " +
  "(special characters percent-encoded: # is %23, ? is %3F)"

/** Parses the URL. Fails with the reason, which begins with the name of the setting and repeats no password. */
export const parse = Effect.fnUntraced(function* (
  secret: Redacted.Redacted,
  setting: string
): Effect.fn.Return<DatabaseUrl, string> {
  const url = URL.parse(Redacted.value(secret))
  const parameters = url?.searchParams ?? new URLSearchParams()
  const isEncoded =
    url !== null &&
    /^postgres(ql)?:$/.test(url.protocol) &&
    // If a special character of the password is not escaped, a part of the password would be read as the host, the
    // database or a parameter, and shown.
    url.hash === "" &&
    !url.pathname.includes("@") &&
    !(unknownIn(parameters) !== undefined && url.search.includes("@"))
  if (!isEncoded) return yield* Effect.fail(`${setting} ${form}`)
  const problem = problemOf(parameters)
  if (problem !== undefined) return yield* Effect.fail(`${setting}: ${problem}`)
  const ca = yield* Effect.mapError(authorities(parameters.get("sslrootcert")), (reason) => `${setting}: ${reason}`)
  return yield* Effect.try({
    try: () => {
      const given = parameters.get("host") ?? decodeURIComponent(url.hostname)
      const host = given === "" ? "localhost" : given
      const givenPort = parameters.get("port") ?? url.port
      const port = givenPort === "" ? 5432 : Number(givenPort)
      if (givenPort !== "" && !isPort(givenPort)) throw new Error("not a port")
      const name = parameters.get("user") ?? decodeURIComponent(url.username)
      // As in libpq, the user defaults to that of the process, and the database to the name of the user.
      const username = name === "" ? Os.userInfo().username : name
      const path = decodeURIComponent(url.pathname.slice(1))
      return {
        host: `${host}${givenPort === "" ? "" : `:${port}`}`,
        database: parameters.get("dbname") ?? (path === "" ? username : path),
        options: parameters.get("options"),
        client: {
          // A host that begins with a slash is the folder of the server's socket. IPv6 addresses have brackets only in
          // URLs.
          host: host.replace(/^\[(.*)\]$/, "$1"),
          port,
          username,
          ...(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : {}),
          ...(ca !== undefined
            ? { ssl: { ca } }
            : parameters.has("ssl") && !parameters.has("sslmode")
              ? { ssl: true }
              : {})
        }
      }
    },
    catch: () => `${setting} ${form}`
  })
})
