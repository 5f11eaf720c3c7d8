/** Blob stores of processes with different settings, and what tests of them do. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Path from "node:path"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as BlobLocation from "../../src/stores/blobs/BlobLocation.ts"
import * as S3Servers from "../support/S3Servers.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"

const settings = (env: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(
    ConfigProvider.fromEnv({ env: Object.fromEntries(Object.entries(env).filter(([, value]) => value !== "")) })
  ).pipe(Layer.provideMerge(NodeServices.layer))

/** Runs an effect in a process with these settings. An empty setting counts as unset. */
export const usingSettings = <A, E, R>(env: Readonly<Record<string, string>>, use: Effect.Effect<A, E, R>) =>
  Effect.provide(use, settings(env), { local: true })

/** Runs an effect with the blob store of a process with these settings. */
export const usingEnv = <A, E, R>(env: Readonly<Record<string, string>>, use: Effect.Effect<A, E, R>) =>
  Effect.provide(use, Layer.provideMerge(BlobLocation.layer, settings(env)), { local: true })

/** Runs an effect with the blob store of a process with this folder. */
export const using = <A, E, R>(folder: string, use: Effect.Effect<A, E, R>) => usingEnv({ IDEM_BLOB_DIR: folder }, use)

/** The bucket, a folder that does not exist yet, and a path for a link to the folder. */
export const places = Effect.gen(function* () {
  const parent = yield* EmbeddedUser.folder
  const bucket: Readonly<Record<string, string>> = S3Servers.settings(yield* S3Servers.servers.s3rver)
  return { bucket, folder: Path.join(parent, "blobs"), link: Path.join(parent, "link") }
})

export const blobFolder = Effect.map(EmbeddedUser.folder, (parent) => Path.join(parent, "blobs"))

export const write = (text: string) =>
  BlobStore.use((blobs) => blobs.write(Stream.succeed(new TextEncoder().encode(text)))).pipe(
    Effect.map(({ hash }) => Buffer.from(hash).toString("hex"))
  )

export const read = (hash: string) =>
  BlobStore.use((blobs) => Stream.runCollect(blobs.read(hash))).pipe(
    Effect.map((chunks) => Buffer.concat(Array.from(chunks)).toString())
  )

/** A clock that is two days ahead. */
export const muchLater = Effect.map(Clock.Clock, (clock): Clock.Clock => {
  const ahead = Duration.toMillis(Duration.days(2))
  return Object.assign(Object.create(clock) as Clock.Clock, {
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + ahead),
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead
  })
})

export const refusal = (env: Readonly<Record<string, string>>) => Effect.flip(usingEnv(env, Effect.void))

export const refusalOf = (env: Readonly<Record<string, string>>) => Effect.map(refusal(env), ({ message }) => message)
