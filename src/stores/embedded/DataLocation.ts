/** Decides the folder of the data, and the user that PostgreSQL runs as. */
import * as Effect from "effect/Effect"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Folders from "../../engine/Folders.ts"
import { EmbeddedError, io } from "./EmbeddedError.ts"

export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

export interface Place {
  /** Idem's own folder: the password, the log, the locks, and the vault's key. */
  readonly folder: string
  /** PostgreSQL's data directory. */
  readonly cluster: string
  readonly password: string
  readonly log: string
  /** A lock that is held exclusively while the server is started or stopped. */
  readonly mutex: string
  /** A lock that each user of the server holds shared while it uses the server. */
  readonly users: string
  /** The user that the server runs as; undefined if it is the user of this process. */
  readonly user: ServerUser | undefined
}

/**
 * If Idem runs as root: files that the server's user must be able to reach, because root's own folders are closed to
 * it.
 */
export const rootFolder = "/var/lib/idem"

const at = (folder: string, user: ServerUser | undefined): Place => ({
  folder,
  cluster: Path.join(folder, "postgres"),
  password: Path.join(folder, "postgres.password"),
  log: Path.join(folder, "postgres.log"),
  mutex: Path.join(folder, "postgres.lock"),
  users: Path.join(folder, "postgres.users"),
  user
})

const statOrNone = (path: string) => Fs.stat(path).catch(() => undefined)

/** Returns true if the modes of a folder and of all folders above it allow a user to pass through. */
export const canReach = async (user: ServerUser, folder: string): Promise<boolean> => {
  const stat = await Fs.stat(folder)
  const bit = stat.uid === user.uid ? 0o100 : stat.gid === user.gid ? 0o010 : 0o001
  if ((stat.mode & bit) === 0) return false
  const parent = Path.dirname(folder)
  return parent === folder || canReach(user, parent)
}

/** The users of /etc/passwd: PostgreSQL refuses to run as a user without a name. */
const users = io("/etc/passwd can't be read", async () =>
  (await Fs.readFile("/etc/passwd", "utf8")).split("\n").map((line) => {
    const [name, , uid, gid] = line.split(":")
    return { name, uid: Number(uid), gid: Number(gid) }
  })
)

/**
 * Returns the user that the server runs as if Idem runs as root, because PostgreSQL refuses to run as root: the owner
 * of existing data; for new data the owner of the folder, so that this user can continue with it, or `nobody` if that
 * is root.
 */
const serverUser = Effect.fnUntraced(function* (folder: string) {
  const cluster = yield* io(folder, () => statOrNone(Path.join(folder, "postgres")))
  if (cluster !== undefined && cluster.uid !== 0) return { uid: cluster.uid, gid: cluster.gid }
  const { uid } = yield* io(folder, () => Fs.stat(folder))
  const known = yield* users
  const user =
    known.find((user) => user.uid === uid && uid !== 0) ??
    known.find((user) => user.name === "nobody" && user.uid !== 0)
  if (user === undefined) {
    return yield* new EmbeddedError({
      message: "PostgreSQL can't run as root, and there is no user nobody: set DATABASE_URL, or run as another user"
    })
  }
  return { uid: user.uid, gid: user.gid }
})

const hasCluster = (folder: string) =>
  io(folder, async () => (await statOrNone(Path.join(folder, "postgres", "PG_VERSION"))) !== undefined)

/** Returns the folder that replaces this one if the server's user cannot reach it. */
const substituteFor = (folder: string) => {
  const digest = Crypto.createHash("sha256").update(folder).digest("hex").slice(0, 12)
  return Path.join(rootFolder, `${Path.basename(folder)}-${digest}`)
}

/** Adds the name of the setting to the errors about its folder. */
const withSetting = Effect.mapError(
  ({ message }: EmbeddedError) => new EmbeddedError({ message: `${message}; IDEM_DATA_DIR names another folder` })
)

/** Creates a folder that the server's user can pass through but not read. */
const makePassable = (folder: string) =>
  io(`${folder} can't be made`, async () => {
    await Folders.create(folder)
    const { mode } = await Fs.stat(folder)
    await Fs.chmod(folder, (mode & 0o700) | 0o711)
    return Fs.realpath(folder)
  })

const asRoot = Effect.fnUntraced(function* (requested: string) {
  const existed = yield* io(requested, async () => (await statOrNone(requested)) !== undefined)
  const folder = yield* withSetting(makePassable(requested))
  const user = yield* serverUser(folder)
  if (yield* io(folder, () => canReach(user, folder))) return at(folder, user)
  if (yield* hasCluster(folder)) {
    const why = `a folder above it shuts out the user that PostgreSQL runs as (uid ${user.uid})`
    return yield* new EmbeddedError({ message: `${folder} holds Idem's data, but ${why}: chmod o+x that folder` })
  }
  const elsewhere = yield* makePassable(substituteFor(folder))
  yield* io(rootFolder, () => Fs.chmod(rootFolder, 0o755))
  // Only folders that this call has created are removed again.
  if (!existed) yield* Effect.ignore(io(folder, () => Fs.rmdir(folder)))
  yield* Effect.logWarning(
    `PostgreSQL can't run as root, and its user can't reach ${folder}: Idem's data is in ${elsewhere}`
  )
  return at(elsewhere, yield* serverUser(elsewhere))
})

const asOneself = Effect.fnUntraced(function* (requested: string) {
  yield* io(`the data folder ${requested} can't be made`, () => Folders.create(requested, 0o700)).pipe(withSetting)
  const folder = yield* io(requested, () => Fs.realpath(requested))
  yield* io(`the data folder ${folder} can't be written to`, () =>
    Fs.access(folder, Fs.constants.W_OK | Fs.constants.X_OK)
  ).pipe(withSetting)
  return at(folder, undefined)
})

/** Creates the folder, or its replacement, and returns it with the user that the server runs as. */
export const prepare = Effect.fn("Place.prepare")(function* (requested: string) {
  if (process.platform === "win32") {
    return yield* new EmbeddedError({
      message: "on Windows Idem can't start a PostgreSQL of its own: set DATABASE_URL to a running one"
    })
  }
  // PostgreSQL writes the folder's path as one line of `postmaster.pid`, by which the server is found.
  if (/[\r\n]/.test(requested)) {
    return yield* new EmbeddedError({ message: "IDEM_DATA_DIR holds a line break: name a folder without one" })
  }
  const absolute = Path.resolve(requested)
  return yield* process.getuid?.() === 0 ? asRoot(absolute) : asOneself(absolute)
})

/** Returns true if data exists for this folder, in it or in its replacement. Creates nothing. */
export const hasData = Effect.fn("Place.hasData")(function* (requested: string) {
  const absolute = Path.resolve(requested)
  const folder = yield* io(absolute, async () => {
    const parent = await Fs.realpath(Path.dirname(absolute)).catch(() => Path.dirname(absolute))
    return Fs.realpath(absolute).catch(() => Path.join(parent, Path.basename(absolute)))
  })
  if (yield* hasCluster(folder)) return true
  return process.getuid?.() === 0 && (yield* hasCluster(substituteFor(folder)))
})
