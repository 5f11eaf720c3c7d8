/** The options of `createIdem`, and the errors about them. */
import * as Config from "effect/Config"
import * as CommandFailure from "./cli/CommandFailure.ts"
import type { Integration } from "./contract/Integration.ts"
import * as MessageText from "./engine/MessageText.ts"

export interface Options {
  /**
   * The URL of your PostgreSQL database. Without it Idem starts the embedded one in `dataDir`. `"memory"` is for tests:
   * its data is lost at `close`, and it has no schema `mirror` and no search.
   */
  readonly database?: string | undefined
  /** The folder of the embedded PostgreSQL and its key. Default: `./data`. */
  readonly dataDir?: string | undefined
  /** The key that seals credentials, 32 bytes in base64. Required with `database` once credentials are stored. */
  readonly secretKey?: string | undefined
  /** Your integrations, in addition to the built-in ones. They replace built-in ones of the same domain. */
  readonly integrations?: ReadonlyArray<Integration> | undefined
  /** True to poll due connections, deliver webhooks and derive the schema `mirror` until `close`. Default: false. */
  readonly poll?: boolean | undefined
  /** Other settings by the names of `docs/configuration.md`, such as `IDEM_CLUSTER` or `IDEM_BLOB_DIR`. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Called with each line of the log. Without it, nothing is logged. */
  readonly log?: ((line: string) => void) | undefined
}

const optionNames: ReadonlyArray<string> = [
  "database",
  "dataDir",
  "secretKey",
  "integrations",
  "poll",
  "settings",
  "log"
] satisfies ReadonlyArray<keyof Options>

/** The settings of `docs/configuration.md`, except those whose names have a pattern. */
export const settingNames: ReadonlyArray<string> = [
  "AWS_ACCESS_KEY_ID",
  "AWS_DEFAULT_REGION",
  "AWS_ENDPOINT_URL",
  "AWS_ENDPOINT_URL_S3",
  "AWS_REGION",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "COLUMNS",
  "DATABASE_DIRECT_URL",
  "DATABASE_URL",
  "HOST",
  "IDEM_API_TOKEN",
  "IDEM_BLOB_DIR",
  "IDEM_BLOB_ENDPOINT",
  "IDEM_BLOB_OLD",
  "IDEM_BLOB_URL",
  "IDEM_CLUSTER",
  "IDEM_CONFIG",
  "IDEM_COPY_FROM",
  "IDEM_DATA_DIR",
  "IDEM_DEBUG",
  "IDEM_DOWNLOAD_MEMORY_MB",
  "IDEM_KEEP_RUNS",
  "IDEM_LONGEST_RETRY_AFTER",
  "IDEM_MCP_SQL",
  "IDEM_PGBOUNCER",
  "IDEM_PUBLIC_URL",
  "IDEM_SECRET_KEY",
  "IDEM_SECRET_KEY_OLD",
  "IDEM_SHUTDOWN_TIMEOUT",
  "IDEM_SIGN_IN_PORT",
  "IDEM_SLACK_SIGNING_SECRET",
  "IDEM_SOURCE_ALLOW",
  "IDEM_STATEMENT_TIMEOUT",
  "IDEM_TRUSTED_PROXIES",
  "IDEM_URL",
  "IDEM_WEBHOOK_ALLOW",
  "LISTEN_HOST",
  "LISTEN_PORT",
  "NO_COLOR",
  "PORT",
  "REFRESH_ASSIGNMENTS_INTERVAL",
  "RUNNER_HEALTH_CHECK_INTERVAL",
  "RUNNER_HOST",
  "RUNNER_PORT",
  "SHARD_LOCK_EXPIRATION",
  "SHARD_LOCK_REFRESH_INTERVAL"
]

/** OpenTelemetry's settings, and the OAuth client of an integration. */
const settingPattern = /^(OTEL_[A-Z_]+|IDEM_[A-Z0-9_]+_CLIENT_(ID|SECRET))$/

const unknown = (name: string, what: string, names: ReadonlyArray<string>): Error => {
  const meant = MessageText.nearest(name, names)
  const next = meant === undefined ? `there are: ${names.join(", ")}` : `did you mean ${meant}?`
  return new Error(`${MessageText.quoted(name)} is no ${what}; ${next}`)
}

/** Throws for unknown options and settings, which would have no effect. */
export const check = (options: Options): void => {
  const option = Object.keys(options).find((each) => !optionNames.includes(each))
  if (option !== undefined) throw unknown(option, "option of createIdem", optionNames)
  const setting = Object.keys(options.settings ?? {}).find(
    (each) => !settingNames.includes(each) && !settingPattern.test(each)
  )
  if (setting !== undefined) throw unknown(setting, "setting of Idem", settingNames)
}

/** The options that replace settings. Errors about a setting name the option instead. */
const optionOf: Readonly<Record<string, string>> = {
  DATABASE_URL: "database",
  IDEM_DATA_DIR: "dataDir",
  IDEM_SECRET_KEY: "secretKey"
}

/** Returns the error of opening Idem, with the names of the options. */
export const openingError = (error: unknown): unknown => {
  const isSetting = error instanceof Config.ConfigError
  if (!isSetting && !(error instanceof Error)) return error
  const message = isSetting ? CommandFailure.settingProblem(error) : error.message
  const named = message.replaceAll(/\b[A-Z_]{4,}\b/g, (name) => optionOf[name] ?? name)
  return isSetting || named !== message ? new Error(named, { cause: error }) : error
}
