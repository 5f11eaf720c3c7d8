/** Creates PostgreSQL's data directory, completely or not at all. */
import * as Effect from "effect/Effect"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { Binaries } from "./Binaries.ts"
import { io } from "./EmbeddedError.ts"
import type { Place } from "./DataLocation.ts"
import { run } from "./PostgresProgram.ts"

/** The only role and the only database that Idem creates in it. */
export const username = "idem"
export const database = "idem"

/** Writes a small file completely or not at all, and durably. */
const writeWhole = async (file: string, text: string): Promise<void> => {
  const draft = `${file}.${Crypto.randomBytes(6).toString("hex")}`
  const handle = await Fs.open(draft, "wx", 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await Fs.rename(draft, file)
}

/** Makes the server's user the owner of files that root has created. */
export const giveTo = async (place: Place, path: string): Promise<void> => {
  if (place.user !== undefined) await Fs.chown(path, place.user.uid, place.user.gid)
}

/**
 * Creates a cluster in a temporary folder beside its place, and moves it there when it is complete. A cluster whose
 * creation was killed is never used; the next creation removes its remains.
 */
export const initialise = Effect.fn("Server.initialise")(function* (place: Place, binaries: Binaries) {
  const draftPrefix = "postgres.new."
  const draft = Path.join(place.folder, draftPrefix + Crypto.randomBytes(6).toString("hex"))
  const cluster = Path.join(draft, "data")
  const passwordFile = Path.join(draft, "password")
  const password = Crypto.randomBytes(24).toString("base64url")
  yield* Effect.logInfo(`making a PostgreSQL database in ${place.cluster}`)
  yield* io(`${place.folder} can't be written to`, async () => {
    for (const name of await Fs.readdir(place.folder)) {
      // A program of the killed process may still be writing there: the next creation removes the rest.
      if (name.startsWith(draftPrefix)) {
        await Fs.rm(Path.join(place.folder, name), { recursive: true, force: true }).catch(() => undefined)
      }
    }
    await Fs.mkdir(draft, { mode: 0o700 })
    await Fs.writeFile(passwordFile, password, { mode: 0o600 })
    await giveTo(place, passwordFile)
    await giveTo(place, draft)
  })
  const what = `the database in ${place.folder} can't be made`
  const options = { user: place.user, what }
  yield* run(
    binaries.initdb,
    [
      `--pgdata=${cluster}`,
      `--username=${username}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--text-search-config=simple",
      "--no-instructions"
    ],
    { ...options, input: "" }
  ).pipe(
    Effect.andThen(
      run(binaries.postgres, ["--single", "-D", cluster, "template1"], {
        ...options,
        input: `CREATE DATABASE ${database}\n`
      })
    ),
    Effect.andThen(
      io(what, async () => {
        await writeWhole(place.password, password)
        await Fs.rename(cluster, place.cluster)
        const folder = await Fs.open(place.folder)
        await folder.sync().finally(() => folder.close())
      })
    ),
    Effect.ensuring(Effect.promise(() => Fs.rm(draft, { recursive: true, force: true }).catch(() => undefined)))
  )
})

/** Returns the major version of the data; undefined if there is no data. */
export const versionOf = (place: Place) =>
  io(place.cluster, () =>
    Fs.readFile(Path.join(place.cluster, "PG_VERSION"), "utf8").then(
      (text) => text.trim(),
      (cause: NodeJS.ErrnoException) => {
        if (cause.code === "ENOENT") return undefined
        throw cause
      }
    )
  )
