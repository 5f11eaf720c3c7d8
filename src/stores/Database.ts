/** Connects to PostgreSQL: to the database of `DATABASE_URL`, or else to the embedded one. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Path from "node:path"
import * as Vault from "../engine/secrets/Vault.ts"
import { Embedded, layer as embeddedLayer } from "./Embedded.ts"
import type { EmbeddedError } from "./embedded/EmbeddedError.ts"
import * as Client from "./postgres/Client.ts"
import * as DatabaseUrl from "./postgres/DatabaseUrl.ts"
import { oneRow } from "./postgres/RowDecoders.ts"

/** The database can't be used. The message is one line that names host and database, and holds no password. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  message: Schema.String,
  /** The name of the setting that is wrong, if a setting is the cause. */
  setting: Schema.optionalKey(Schema.String)
}) {}

/** `embedded`: the server that Idem starts, with its data in `folder`. `external`: the server of `DATABASE_URL`. */
type Origin =
  | { readonly _tag: "embedded"; readonly folder: string; readonly socket: string; readonly database: string }
  | { readonly _tag: "external"; readonly host: string; readonly database: string }

export class Database extends Context.Service<
  Database,
  {
    readonly origin: Origin
    /** Names the database in messages, without a password. */
    readonly name: string
  }
>()("idem/stores/Database") {}

/** The oldest supported version of PostgreSQL. `xid8` needs 13, which is no longer maintained. */
const oldest = 14

/**
 * Limits how long a process that is frozen inside a transaction holds its row locks.
 *
 * PgBouncer refuses startup parameters, and supports prepared statements only if configured to, so `IDEM_PGBOUNCER=1`
 * uses neither. Then PgBouncer's own `idle_transaction_timeout` replaces the limit, and each statement is planned anew.
 */
const behindPgBouncer = Config.Boolean("IDEM_PGBOUNCER").pipe(Config.withDefault(false))
const session = Effect.map(behindPgBouncer, (behind) =>
  behind
    ? { prepare: false, startupOptions: undefined }
    : { startupOptions: `${Client.sessionSettings} -c idle_in_transaction_session_timeout=10s` }
)

/** Returns true if the text is meant as the URL of a PostgreSQL database, valid or not. */
export const isUrl = (text: string): boolean => /^postgres(ql)?:/i.test(text)

const unreachable: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOENT: "there is no such socket",
  EACCES: "its socket may not be used by this user",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the host's name can't be looked up now",
  EHOSTUNREACH: "the host can't be reached",
  ENETUNREACH: "the network can't be reached",
  ETIMEDOUT: "it does not answer",
  ECONNRESET: "it closed the connection"
}

const Cause = Schema.Struct({ message: Schema.String, code: Schema.optionalKey(Schema.String) })
const Causes = Schema.Struct({ errors: Schema.Array(Cause) })

/** Returns the message of the system or the server, on one line. */
const explain = (error: SqlError): string => {
  const { cause } = error.reason
  // A name with several addresses fails with an error for each.
  const several = Schema.decodeUnknownOption(Causes)(cause)
  const found = Option.flatMap(several, ({ errors }) => Option.fromUndefinedOr(errors[0])).pipe(
    Option.orElse(() => Schema.decodeUnknownOption(Cause)(cause))
  )
  return Option.match(found, {
    onNone: () => error.message,
    onSome: ({ code, message }) =>
      message.startsWith("unsupported startup parameter")
        ? `it is behind a pooler: set IDEM_PGBOUNCER=1 (${message})`
        : (unreachable[code ?? ""] ?? message)
  }).replaceAll(/\s+/g, " ")
}

/**
 * Connects once, so that a wrong database is reported at the start and not in the middle of a run. PgBouncer drops the
 * settings of sessions instead of refusing them if its `ignore_startup_parameters` has `options`.
 */
const check = (name: string, sendsSettings: boolean) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT current_setting('server_version_num')::int / 10000 AS major,
      current_setting('server_encoding') AS encoding,
      (SELECT source = 'client' FROM pg_settings WHERE name = 'enable_seqscan') AS "hasSettings"`
    const row = yield* decodeServer(rows)
    if (row.major < oldest) {
      return yield* new DatabaseError({
        message: `${name} is PostgreSQL ${row.major}, and Idem needs ${oldest} or later`
      })
    }
    if (row.encoding !== "UTF8") {
      return yield* new DatabaseError({ message: `${name} has the encoding ${row.encoding}, and Idem needs UTF8` })
    }
    if (sendsSettings && !row.hasSettings) {
      const why = "it is behind a pooler that drops the settings of sessions: set IDEM_PGBOUNCER=1"
      return yield* new DatabaseError({
        message: `${name} can't be used: ${why}`,
        setting: "IDEM_PGBOUNCER"
      })
    }
  }).pipe(
    Effect.catchIf(isSqlError, (error) =>
      Effect.fail(new DatabaseError({ message: `${name} can't be used: ${explain(error)}` }))
    )
  )

const decodeServer = oneRow(Schema.Struct({ major: Schema.Int, encoding: Schema.String, hasSettings: Schema.Boolean }))

/** The settings of each session; undefined behind a pooler. */
const settingsOf = (config: PgClient.PgPoolConfig) =>
  ({ startupOptions: Client.sessionSettings, ...config }).startupOptions

type Clients = PgClient.PgClient | SqlClient.SqlClient

const connect = (database: Database["Service"], config: PgClient.PgPoolConfig) =>
  PgClient.layerFrom(Client.make(config)).pipe(
    Layer.catchTag("SqlError", (error) =>
      Layer.effectContext(Effect.fail(new DatabaseError({ message: `${database.name}: ${explain(error)}` })))
    ),
    Layer.tap((context) => Effect.provideContext(check(database.name, settingsOf(config) !== undefined), context)),
    Layer.merge(Layer.succeed(Database, database))
  )

/** Adds the `options` of a URL, such as `-c search_path=idem`, to the settings of each session, after Idem's own. */
const withOptions = (config: PgClient.PgPoolConfig, options: string | null): PgClient.PgPoolConfig => {
  const startupOptions = settingsOf(config)
  // Without settings of our own, the client sends the options of the URL.
  return options === null || startupOptions === undefined
    ? config
    : { ...config, startupOptions: `${startupOptions} ${options}` }
}

/** Connects to the database at the URL of this setting. */
const layerUrl = (
  url: Redacted.Redacted,
  setting: string,
  config: PgClient.PgPoolConfig = {}
): Layer.Layer<Database | Clients, DatabaseError | Config.ConfigError> =>
  Layer.unwrap(
    DatabaseUrl.parse(url, setting).pipe(
      Effect.mapError((message) => new DatabaseError({ setting, message })),
      Effect.map(({ client, database, host, options }) =>
        connect(
          { origin: { _tag: "external", host, database }, name: `the database ${database} at ${host}` },
          { ...withOptions(config, options), ...client, url }
        )
      )
    )
  )

/** Connects like `layerUrl`, with the session settings of `DATABASE_URL`. */
export const layerAt = (url: Redacted.Redacted, setting: string) =>
  Layer.unwrap(Effect.map(session, (config) => layerUrl(url, setting, config)))

/** Connects to the embedded server. */
export const layerEmbedded: Layer.Layer<Database | Clients, DatabaseError | Config.ConfigError, Embedded> =
  Layer.unwrap(
    Effect.map(Embedded, ({ database, folder, password, socket, username }) =>
      connect(
        { origin: { _tag: "embedded", folder, socket, database }, name: `Idem's own database in ${folder}` },
        // The server runs on this machine. If the machine is busy, the server answers late, but is not unreachable.
        { path: socket, database, username, password, connectTimeout: "1 minute" }
      )
    )
  )

/** Reads an optional setting. An empty value counts as not set. */
const optionalUrl = (name: string) =>
  Effect.map(
    Config.option(Config.Redacted(name)),
    Option.filter((url) => Redacted.value(url) !== "")
  )

type LayerError = DatabaseError | EmbeddedError | Config.ConfigError

/** Uses the database of `DATABASE_URL` if that is set and not empty, else the embedded one in `IDEM_DATA_DIR`. */
export const layer: Layer.Layer<Database | Clients, LayerError> = Layer.unwrap(
  Effect.map(
    optionalUrl("DATABASE_URL"),
    Option.match({
      onNone: () => Layer.provide(layerEmbedded, embeddedLayer),
      onSome: (url) => layerAt(url, "DATABASE_URL")
    })
  )
)

/**
 * A direct connection, for session-level locks, with which the processes of a cluster share their work. A pooler such
 * as PgBouncer in transaction mode assigns a session for one transaction only; `DATABASE_DIRECT_URL` bypasses it. All
 * other statements work through a pooler.
 */
export const layerSessions: Layer.Layer<Database | Clients, LayerError> = Layer.unwrap(
  Effect.gen(function* () {
    const direct = yield* optionalUrl("DATABASE_DIRECT_URL")
    if (Option.isSome(direct)) {
      return layerUrl(direct.value, "DATABASE_DIRECT_URL", { maxConnections: 3, multiplex: false })
    }
    if (!(yield* behindPgBouncer)) return layer
    return yield* new DatabaseError({
      setting: "DATABASE_DIRECT_URL",
      message:
        "IDEM_CLUSTER needs sessions, which PgBouncer does not keep: set DATABASE_DIRECT_URL to the database itself"
    })
  })
)

/**
 * Returns a URL with which this role can connect to the database. The URL of the embedded database names its socket.
 */
export const urlOf = (role: string, password: Redacted.Redacted): Effect.Effect<Redacted.Redacted, never, Database> =>
  Effect.map(Database, ({ origin }) => {
    const login = `${encodeURIComponent(role)}:${encodeURIComponent(Redacted.value(password))}`
    if (origin._tag === "external") {
      return Redacted.make(`postgresql://${login}@${origin.host}/${encodeURIComponent(origin.database)}`)
    }
    const host = encodeURIComponent(Path.dirname(origin.socket))
    const port = Path.extname(origin.socket).slice(1)
    return Redacted.make(`postgresql://${login}@/${origin.database}?host=${host}&port=${port}`)
  })

/** The key file of the embedded database, unless `IDEM_SECRET_KEY` is set; undefined for an external database. */
export const keyFile: Effect.Effect<string | undefined, never, Database> = Effect.map(Database, ({ origin }) =>
  origin._tag === "embedded" ? Path.join(origin.folder, "secret.key") : undefined
)

/**
 * Provides the vault of this database. The embedded database has its key beside the data unless `IDEM_SECRET_KEY` is
 * set. For an external database `IDEM_SECRET_KEY` must be set before anything is sealed or unsealed; reading stored
 * content needs no key.
 */
export const layerVault: Layer.Layer<Vault.Vault, Vault.VaultError, Database | FileSystem.FileSystem> = Layer.unwrap(
  Effect.map(keyFile, (file) => (file === undefined ? Vault.layerLazy : Vault.layerKeyFile(file)))
)
