/**
 * Files on FTP, FTPS and SFTP servers.
 *
 * A file's external id is its path below `root`, without a leading slash (Names.ts describes how bytes that are not
 * UTF-8 are encoded). Its revision is its size and its exact modification time: MLSD and SFTP list both. A server with
 * LIST alone is asked for each file's time (MDTM) where it matters, one call a file, because LIST has no zone, and no
 * seconds or no year.
 *
 * A poll is a pass through all folders, one listing a folder. Files that it did not find in a folder that it could read
 * are deleted. With `compare: "content"` every poll downloads every file, without the checker, and the engine writes
 * the differences. With `compare: "revision"` a poll downloads the files whose revision has changed, and now and then
 * all (`verifyEvery`). A file without a revision is downloaded each time, so that no change is lost.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { make, type Session } from "../contract/Integration.ts"
import { Config, Credentials, portOf, usernameOf } from "./ftp/Config.ts"
import * as Download from "./ftp/Download.ts"
import * as EmptyFolders from "./ftp/EmptyFolders.ts"
import * as Listing from "./ftp/Listing.ts"
import { projection } from "./ftp/Projection.ts"
import type { Remote } from "./ftp/Remote.ts"
import { unlimited } from "../contract/Quota.ts"

const session = (
  config: Config,
  credentials: Credentials,
  remote: Remote
): Session<Listing.Checkpoint, EmptyFolders.Part> => {
  // The config decides how files are compared. By default, revisions are compared if the server reports exact times.
  const comparesRevisions =
    config.compare === undefined ? remote.exactTimes : Effect.succeed(config.compare === "revision")
  const { download, remember } = Download.make(config, remote)
  return {
    account: Effect.gen(function* () {
      yield* remote.connect
      yield* Effect.logInfo(comparison(yield* comparesRevisions, config))
      return `${config.protocol}://${usernameOf(credentials)}@${config.host}:${portOf(config)}`
    }),
    // The number of files is known only after a whole pass. Listing the root shows whether it can be read.
    estimate: Effect.as(remote.list(""), { unitsPerItem: 2 }),
    list: Listing.make({ config, remote, comparesRevisions, remember }),
    download
  }
}

/** How files are compared, for the person who connects. */
const comparison = (byRevision: boolean, { host, verifyEvery }: Config): string =>
  byRevision
    ? `${host}: files are compared by size and time` +
      (verifyEvery === null ? "" : `, and by content every ${Duration.format(verifyEvery ?? Duration.days(30))}`) +
      ` ("compare": "content" downloads every file at every poll)`
    : `${host}: every file is downloaded at every poll, and compared by content`

export const integration = make<Config, Credentials, Listing.Checkpoint, EmptyFolders.Part>({
  domain: "ftp",
  projection,
  title: "FTP, FTPS, SFTP",
  summary: "the files of a server",
  config: Config,
  credentials: Credentials,
  checkpoint: Listing.Checkpoint,
  part: EmptyFolders.Part,
  scope: ["root", "include", "exclude", "maxDepth"],
  // `implicit` changes the default port. `hostKey`, `ca` and `verifyCertificate` decide which server is accepted as the
  // host: without them a server in between would get the stored password.
  address: ["protocol", "host", "port", "implicit", "hostKey", "ca", "verifyCertificate"],
  // File servers have no quota: `connections` limits concurrent requests.
  quota: ({ quota }) => ({ unitsPerMinute: unlimited, ...quota }),
  // A listing of a hundred thousand names takes minutes on some servers.
  callTimeout: "5 minutes",
  // Loaded when a connection is opened, so that commands that only read do not load the protocol clients.
  open: (options) =>
    Effect.promise(() => import("./ftp/Login.ts")).pipe(
      Effect.flatMap((Login) => Login.open(options)),
      Effect.map((remote) => session(options.config, options.credentials, remote))
    )
})
