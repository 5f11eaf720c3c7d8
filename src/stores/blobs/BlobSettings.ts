/** The settings of large bodies: the present folder or bucket, and the former one. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SecureRandom from "effect/crypto/SecureRandom"
import { StoreError } from "../../engine/store/StoreError.ts"
import type { Place, PlaceFile } from "../Blobs.ts"
import * as FolderBlobs from "./FolderBlobs.ts"

const refuse = (name: string, message: string) =>
  Effect.fail(new StoreError({ message, cause: message, setting: name }))

const setting = (name: string) => Effect.map(Config.option(Config.NonEmptyString(name)), Option.getOrUndefined)

/** Opens the folder or bucket that a setting names. The S3 client is loaded only for a bucket. */
const placeOf = (name: string, value: string) =>
  value.includes("://")
    ? Effect.flatMap(
        Effect.promise(() => import("./S3Blobs.ts")),
        ({ place }) => place(name, value)
      )
    : FolderBlobs.place(name, value)

/** The place of `IDEM_BLOB_DIR` or `IDEM_BLOB_URL` (undefined: the database), and the place of `IDEM_BLOB_OLD`. */
export const places = Effect.gen(function* () {
  const folder = yield* setting("IDEM_BLOB_DIR")
  const url = yield* setting("IDEM_BLOB_URL")
  const old = yield* setting("IDEM_BLOB_OLD")
  if (folder !== undefined && url !== undefined) {
    return yield* refuse(
      "IDEM_BLOB_URL",
      "IDEM_BLOB_DIR and IDEM_BLOB_URL are both set: keep one of them, and move the other to IDEM_BLOB_OLD"
    )
  }
  if (url !== undefined && !url.includes("://"))
    return yield* refuse("IDEM_BLOB_URL", "IDEM_BLOB_URL is not of the form s3://bucket/prefix")
  const former = old === undefined ? undefined : yield* placeOf("IDEM_BLOB_OLD", old)
  if (folder !== undefined) return { current: yield* placeOf("IDEM_BLOB_DIR", folder), former }
  return { current: url === undefined ? undefined : yield* placeOf("IDEM_BLOB_URL", url), former }
})

/** The file that holds the id of the database to which a place belongs. */
export const ownerFile = (place: Place): PlaceFile => place.file("idem-database")

/** The file that holds the id of the database whose bodies have moved away from a place. */
export const formerOwnerFile = (place: Place): PlaceFile => place.file("idem-former-database")

/**
 * Creates a file in the place, uses it by its name, and removes it. Fails if the place can't be written to. If the
 * process is killed, the file stays among the unfinished bodies, which are swept.
 */
export const probe = <A, E, R>(place: Place, use: (name: string) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const name = `unfinished/${yield* (yield* SecureRandom.SecureRandom).uuidV4()}`
    const file = place.file(name)
    return yield* Effect.andThen(file.create("probe"), use(name)).pipe(Effect.ensuring(Effect.ignore(file.remove)))
  }).pipe(Effect.provide(SecureRandom.layerWebCrypto))

/**
 * Returns true if both names lead to the same place through different spellings, links, mounts or endpoints: a file
 * that is created in one place is found in the other.
 */
export const isSamePlace = (one: Place, other: Place) =>
  probe(one, (name) => Effect.map(other.file(name).read, Option.isSome))
