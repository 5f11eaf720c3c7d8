/** Copies an embedded database, or another PostgreSQL database of Idem, into the database in context. */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Path from "node:path"
import { Vault } from "../engine/secrets/Vault.ts"
import type { WebhookId } from "../engine/model/Webhook.ts"
import * as Vaults from "../engine/secrets/Vault.ts"
import { BlobStore } from "./Blobs.ts"
import * as BlobLocation from "./blobs/BlobLocation.ts"
import * as InDatabase from "./blobs/PostgresBlobs.ts"
import * as Copy from "./Copy.ts"
import { Database, isUrl, layerAt, layerEmbedded } from "./Database.ts"
import { Embedded, make } from "./Embedded.ts"
import * as DataLocation from "./embedded/DataLocation.ts"
import * as Migrations from "./postgres/Migrations.ts"
import { toStoreError } from "./postgres/SqlErrors.ts"
import { oneRow } from "./postgres/RowDecoders.ts"

/** The source can't be copied. */
class CopyError extends Schema.TaggedError<CopyError>()("CopyError", { message: Schema.String }) {}

interface Options {
  /** An `IDEM_DATA_DIR`, whether Idem is running there or not, or the URL of a PostgreSQL database. */
  readonly from: Redacted.Redacted
  /** The name of the connection to copy, with the connections that it made (see `Copy.run`). */
  readonly connection: string | undefined
  /** The `IDEM_BLOB_DIR` or `IDEM_BLOB_URL` with which the source was used. */
  readonly blobFolder: string | undefined
  /** Returns the context in which the credentials of a connection are sealed. */
  readonly context: (connection: { readonly domain: string; readonly account: string }) => string
  readonly onConnection: (name: string) => Effect.Effect<void>
  /** Returns the context in which the secret of a webhook is sealed. */
  readonly webhookContext: (webhookId: WebhookId) => string
  /** Called for each connection whose credentials can't be unsealed with the keys here: they are copied unchanged. */
  readonly onLocked: (name: string) => Effect.Effect<void>
  /** Called for each webhook whose secret can't be unsealed with the keys here. */
  readonly onLockedWebhook: (name: string) => Effect.Effect<void>
}

const env = (given: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnv({ env: given }))

/** Reads the key files of a folder. The second file exists only while `idem rekey` replaces it by the first. */
const keysBeside = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const found = yield* Effect.forEach(["secret.key", "secret.key.old"], (name) =>
    Effect.option(fs.readFileString(Path.join(folder, name)))
  )
  return found.flatMap((text) => (text._tag === "Some" ? [text.value] : []))
})

/**
 * Returns the vaults that may unseal the secrets of the source: with these keys, `IDEM_SECRET_KEY` and
 * `IDEM_SECRET_KEY_OLD`.
 */
const vaultsOf = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
  const given = Layer.build(Layer.fresh(Vaults.layer))
  const files = keys.map((text) => Effect.provide(given, env({ IDEM_SECRET_KEY: text })))
  const built = yield* Effect.forEach([...files, given], Effect.option)
  return built.flatMap((one) => (one._tag === "Some" ? [Context.get(one.value, Vault)] : []))
})

/** Settings that apply to the buckets of both source and target: only the name of the source's bucket is given. */
const bucketSettings = Effect.map(
  Effect.forEach(
    [
      "AWS_ACCESS_KEY_ID",
      "AWS_SECRET_ACCESS_KEY",
      "AWS_SESSION_TOKEN",
      "AWS_REGION",
      "AWS_DEFAULT_REGION",
      "AWS_ENDPOINT_URL",
      "AWS_ENDPOINT_URL_S3",
      "IDEM_BLOB_ENDPOINT"
    ],
    (name) =>
      Effect.map(Config.option(Config.Redacted(name)), (value) =>
        value._tag === "Some" ? [[name, Redacted.value(value.value)] as const] : []
      )
  ),
  (found) => Object.fromEntries(found.flat())
)

const decodeMeta = oneRow(Schema.Struct({ hasFolder: Schema.Boolean }))

/** Opens the source's blob store: the database, or the folder or bucket that the person names. */
const blobsOf = Effect.fnUntraced(function* ({ name, sql }: Source, { blobFolder }: Options) {
  const rows = yield* sql`SELECT blob_folder AS "hasFolder" FROM meta`.pipe(toStoreError(`reading ${name}`))
  const { hasFolder } = yield* decodeMeta(rows)
  if (hasFolder && blobFolder === undefined) {
    return yield* new CopyError({
      message: `the large bodies of ${name} are elsewhere: give its IDEM_BLOB_DIR or IDEM_BLOB_URL with --from-blobs`
    })
  }
  const layer = hasFolder
    ? Layer.provide(BlobLocation.layer, env({ ...(yield* bucketSettings), IDEM_BLOB_DIR: blobFolder ?? "" }))
    : InDatabase.layer
  // Built separately: otherwise the source would share the layer that was built for the target.
  const context = yield* Layer.build(Layer.fresh(layer)).pipe(
    Effect.provideService(SqlClient.SqlClient, sql),
    Effect.mapError((error) => new CopyError({ message: error.message.replace("IDEM_BLOB_DIR", "--from-blobs") }))
  )
  return Context.get(context, BlobStore)
})

/** Opens the database of a folder. */
const openFolder = Effect.fnUntraced(function* (folder: string) {
  if (!(yield* DataLocation.hasData(folder))) {
    return yield* new CopyError({
      message: `${folder} holds no data of Idem: give the folder that was IDEM_DATA_DIR`
    })
  }
  const embedded = yield* make({ folder })
  const context = yield* Layer.build(Layer.provide(layerEmbedded, Layer.succeed(Embedded, embedded)))
  return {
    sql: Context.get(context, SqlClient.SqlClient),
    name: folder,
    setting: `IDEM_DATA_DIR=${folder}`,
    keys: yield* keysBeside(embedded.folder)
  }
})

/** Opens the database at a URL. */
const openUrl = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const context = yield* Layer.build(layerAt(url, "--from"))
  return {
    sql: Context.get(context, SqlClient.SqlClient),
    name: Context.get(context, Database).name,
    setting: "its URL as DATABASE_URL",
    keys: []
  }
})
type Source = Effect.Success<ReturnType<typeof openFolder>>

/**
 * Copies, and returns the name of the source, without a password. Fails if the source holds no data, or data of another
 * schema: the source is never written to, and so never migrated.
 */
export const run = Effect.fn("CopySource.run")(function* (options: Options) {
  const to = yield* Database
  const vault = yield* Vault
  const target = { sql: yield* SqlClient.SqlClient, blobs: yield* BlobStore }
  if (to.origin._tag === "embedded") {
    return yield* new CopyError({ message: "DATABASE_URL is not set: it names the PostgreSQL to copy into" })
  }
  const from = Redacted.value(options.from)
  const source: Source = yield* isUrl(from) ? openUrl(options.from) : openFolder(from)
  const { name, setting, sql } = source
  yield* Migrations.check.pipe(
    Effect.provideService(SqlClient.SqlClient, sql),
    Effect.catchTag("StoreError", (error) =>
      Effect.fail(new CopyError({ message: `${name}: ${error.message}, with ${setting}` }))
    )
  )
  const vaults = yield* vaultsOf(source.keys)
  const resealed = (sealed: Uint8Array, context: string, locked: Effect.Effect<void>) =>
    Effect.firstSuccessOf(vaults.map((each) => each.unseal(sealed, context))).pipe(
      Effect.flatMap((secret) => vault.seal(secret, context)),
      Effect.catch(() => Effect.as(locked, sealed))
    )
  const copied = yield* Copy.run({
    source: { sql, blobs: yield* blobsOf(source, options) },
    target,
    connection: options.connection,
    reseal: (connection, sealed) => resealed(sealed, options.context(connection), options.onLocked(connection.name)),
    resealWebhook: ({ id, name }, sealed) =>
      resealed(sealed, options.webhookContext(id), options.onLockedWebhook(name)),
    onConnection: options.onConnection
  })
  return { ...copied, source: name }
}, Effect.scoped)
