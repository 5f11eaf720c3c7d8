/**
 * Files on FTP, FTPS and SFTP servers.
 *
 * A file's external id is its path below `root`, with no slash before it (Names.ts tells how bytes that are no UTF-8
 * are written). Its revision is its size and its modification time, both in full: MLSD and SFTP list them; a server
 * with LIST only is asked for each file's time (MDTM) where it matters, a call a file, since a LIST has no zone, and no
 * seconds or no year.
 *
 * A poll is a pass through all folders: one listing a folder. What it did not find in a folder that it could read is
 * deleted. With `compare: "content"` every poll downloads every file, asks the checker nothing, and the engine writes
 * what differs. With `compare: "revision"` a poll downloads the files whose revision has changed, and now and then all
 * (`verifyEvery`). A file without a revision is downloaded each time, so that no change is lost.
 */
import * as Environment from "effect/Config"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../contract/Content.ts"
import { ContentExistenceChecker } from "../contract/ContentExistenceChecker.ts"
import { field } from "../contract/Field.ts"
import { aboutQuota, make, type OpenOptions, QuotaConfig, type Session } from "../contract/Integration.ts"
import type { IntegrationError } from "../contract/IntegrationError.ts"
import { direct } from "../contract/Network.ts"
import type { Coverage, Page } from "../contract/Page.ts"
import type { Parts } from "../contract/Parts.ts"
import * as SyncTask from "../contract/SyncTask.ts"
import * as BasicFtp from "./ftp/BasicFtp.ts"
import * as EmptyFolders from "./ftp/EmptyFolders.ts"
import * as Globs from "./ftp/Globs.ts"
import * as KnownHosts from "./ftp/KnownHosts.ts"
import * as Names from "./ftp/Names.ts"
import * as Remote from "./ftp/Remote.ts"
import * as Sftp from "./ftp/Sftp.ts"
import * as Walk from "./ftp/Walk.ts"
import { projection } from "./ftp/Projection.ts"
import * as Errors from "./server/Errors.ts"

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
    description:
      "The folder to mirror. Default: the one that a login begins in. A link may stand here: it is followed.",
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
  // It also ends loops of links that a server hides.
  maxDepth: field(Schema.optionalKey(Positive), {
    title: "Depth",
    description: "How many folders deep below the folder. Default 32.",
    example: 32,
    isAdvanced: true
  }),
  maxEntries: field(Schema.optionalKey(Positive), {
    title: "Most entries",
    description: "The most files and folders that one pass lists; what lies beyond is a problem. Default 5,000,000.",
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
      "How long a file must have been left alone, by the server's time and this machine's clock, before it is downloaded. Default: not asked.",
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
    title: "Patience",
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
 * A password (none, and no name, is anonymous). For sftp also a private key in OpenSSH's or PEM form, or `agent`: the
 * keys of the ssh-agent at SSH_AUTH_SOCK of the process that syncs. `knownHost` is kept by the integration itself: the
 * fingerprint of the server that answered first.
 */
export const Credentials = Schema.Union([
  Schema.Struct({
    username: field(Schema.optionalKey(Text), aboutUsername),
    password: field(Schema.optionalKey(Secret), {
      title: "Password",
      description: "Neither name nor password: an anonymous login.",
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
      description: "sftp: those of SSH_AUTH_SOCK of the process that syncs.",
      example: true
    }),
    knownHost
  }).annotate({ title: "The ssh-agent" })
])
export type Credentials = typeof Credentials.Type

/**
 * `pass` names one pass through the folders; without a position it is done. `connections` is how many the server
 * allows, where it refused more. `verified` is the pass that compared contents last, `verifying` whether this one does.
 */
export const Checkpoint = Schema.Struct({
  pass: Schema.Int,
  position: Schema.NullOr(Walk.Position),
  connections: Schema.optionalKey(Schema.Int),
  verified: Schema.optionalKey(Schema.Int),
  verifying: Schema.optionalKey(Schema.Boolean)
})
export type Checkpoint = typeof Checkpoint.Type

/** A file up to this many bytes is read into memory, a larger one streamed. */
const inlineBytes = 262_144
/** Listed files that are remembered until they are downloaded: some pages' worth. */
const maxRemembered = 5_000

const portOf = (config: Config): number =>
  config.port ?? (config.protocol === "sftp" ? 22 : config.protocol === "ftps" && config.implicit === true ? 990 : 21)

const usernameOf = (credentials: Credentials): string => credentials.username ?? "anonymous"

const reveal = (secret: Redacted.Redacted<string> | undefined) =>
  secret === undefined ? undefined : Redacted.value(secret)

/** Where the ssh-agent listens. */
const agentSocket = Environment.String("SSH_AUTH_SOCK").pipe(
  Effect.mapError(() =>
    Errors.unauthorized(
      `"agent" in the credentials needs a running ssh-agent: start Idem with SSH_AUTH_SOCK set, or give a "privateKey"`
    )
  )
)

const connectTo = ({
  call,
  config,
  credentials,
  network,
  saveCredentials
}: OpenOptions<Config, Credentials>): Effect.Effect<Remote.Remote, IntegrationError, Scope.Scope> => {
  const key = "privateKey" in credentials ? credentials : undefined
  const usesAgent = "agent" in credentials
  const password = "password" in credentials ? reveal(credentials.password) : undefined
  const common = {
    call,
    network,
    host: config.host,
    port: portOf(config),
    username: usernameOf(credentials),
    root: config.root ?? "",
    connections: config.connections ?? 4,
    timeout: Duration.toMillis(config.timeout ?? "30 seconds")
  }
  if (config.protocol === "sftp") {
    const { hostKey = credentials.knownHost } = config
    const hostKeys =
      hostKey === undefined
        ? KnownHosts.read(common.host, common.port)
        : Effect.succeed(typeof hostKey === "string" ? [hostKey] : hostKey)
    const options = (known: ReadonlyArray<string>, agent: string | undefined): Sftp.Options => ({
      ...common,
      hostKeys: known,
      agent,
      learn: (knownHost) =>
        Effect.andThen(
          Effect.logWarning(`${common.host}:${common.port} is trusted by the key it shows, ${knownHost}: compare it`),
          saveCredentials({ ...credentials, knownHost })
        ),
      password,
      privateKey: reveal(key?.privateKey),
      passphrase: reveal(key?.passphrase)
    })
    // A connection that was made over HTTP must not log in with the keys of the person who runs Idem.
    if (usesAgent && network !== direct) {
      return Effect.fail(
        Errors.unauthorized(
          `"agent" in the credentials needs a connection that is made by idem connect on the machine itself, not over HTTP`
        )
      )
    }
    return Effect.gen(function* () {
      const agent = usesAgent ? yield* agentSocket : undefined
      return yield* Sftp.make(options(yield* hostKeys, agent))
    })
  }
  if (key !== undefined || usesAgent) {
    return Effect.fail(Errors.unauthorized(`${config.protocol} logs in with a password, a private key is for sftp`))
  }
  const implicit = config.implicit ?? common.port === 990
  return BasicFtp.make({
    ...common,
    // RFC 1635: any password does, an address is customary.
    password: password ?? "anonymous@",
    secure: config.protocol === "ftp" ? false : implicit ? "implicit" : "explicit",
    ca: config.ca,
    verifyCertificate: config.verifyCertificate ?? true
  })
}

/** A file as it was listed, and when, in milliseconds since 1970. */
interface Listed extends Remote.Stat {
  readonly listedAt: number
}

/**
 * How long before its listing a file must have been changed to be sure that the same second saw no later change, and
 * how far ahead a server's clock is believed to be.
 */
const recentMillis = 2_000
const clockAheadMillis = 3_600_000

/**
 * The revision to store. One of a file that was changed right before it was listed equals no later one, so that the
 * next poll looks at the file again.
 */
const storedRevision = (stat: Remote.Stat, listedAt: number): string | undefined => {
  const revision = Remote.revisionOf(stat)
  const time = Option.getOrUndefined(Option.map(instant(stat.modified), DateTime.toEpochMillis))
  if (revision === undefined || time === undefined) return revision
  const isRecent = time >= listedAt - recentMillis && time <= listedAt + clockAheadMillis
  return isRecent ? `${revision} recent` : revision
}

const instant = (modified: string | undefined): Option.Option<DateTime.Utc> =>
  modified === undefined ? Option.none() : Option.map(DateTime.make(modified), DateTime.toUtc)

/** A file whose time is not known is in every window: to leave it out would be to guess. */
const isInWindow = (window: SyncTask.Window | undefined, modified: string | undefined): boolean => {
  if (window === undefined) return true
  const time = Option.getOrUndefined(instant(modified))
  if (time === undefined) return true
  return (
    (window.since === undefined || DateTime.isGreaterThanOrEqualTo(time, window.since)) &&
    (window.until === undefined || DateTime.isLessThan(time, window.until))
  )
}

/** Whether two known values differ. What a server does not tell is no change. */
const differ = (a: string | number | undefined, b: string | number | undefined): boolean =>
  a !== undefined && b !== undefined && a !== b

const isChanged = (a: Remote.Stat, b: Remote.Stat): boolean => differ(a.size, b.size) || differ(a.modified, b.modified)

const session = (
  config: Config,
  credentials: Credentials,
  remote: Remote.Remote
): Session<Checkpoint, EmptyFolders.Part> => {
  const globs = Globs.make(config.include ?? [], config.exclude ?? [])
  /** Whether files are compared by size and time, as the config or what the server tells decides. */
  const comparesRevisions =
    config.compare === undefined ? remote.exactTimes : Effect.succeed(config.compare === "revision")
  const verifyMillis =
    config.verifyEvery === null ? Number.POSITIVE_INFINITY : Duration.toMillis(config.verifyEvery ?? "30 days")
  const settle = Duration.toMillis(config.settle ?? Duration.zero)

  /** What was listed of files that are about to be downloaded: a file that differs from it is being written. */
  const remembered = new Map<string, Listed>()
  const remember = ({ path, size, modified }: Walk.Found, listedAt: number) => {
    remembered.delete(path)
    remembered.set(path, { size, modified, listedAt })
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRemembered) break
      remembered.delete(oldest)
    }
  }

  /** A LIST has no times: where they matter each file is asked for. One that is gone meanwhile is not listed. */
  const complete = (file: Walk.Found): Effect.Effect<ReadonlyArray<Walk.Found>, IntegrationError> =>
    file.modified !== undefined && file.size !== undefined
      ? Effect.succeed([file])
      : remote.stat(file.path, file).pipe(
          Effect.map((stat): ReadonlyArray<Walk.Found> => [{ ...stat, path: file.path }]),
          Effect.catchIf(
            ({ reason }) => reason._tag === "Forbidden" || reason._tag === "Malformed",
            () => Effect.succeed([file])
          ),
          Effect.catchReason("IntegrationError", "Gone", () => Effect.succeed([]))
        )

  const list = Effect.fnUntraced(function* (
    task: SyncTask.SyncTask,
    checkpoint: Option.Option<Checkpoint>,
    parts: Parts<EmptyFolders.Part>
  ) {
    if (SyncTask.idsOnly(task)) return Stream.empty
    const previous = Option.getOrUndefined(checkpoint)
    const resumed = previous?.position ?? undefined
    const now = yield* Clock.currentTimeMillis
    const pass = previous === undefined ? now : resumed === undefined ? Math.max(now, previous.pass + 1) : previous.pass
    if (previous?.connections !== undefined) {
      yield* remote.size.restore(previous.connections, resumed === undefined)
    }
    const byRevision = yield* comparesRevisions
    const lastVerified = previous?.verified ?? pass
    const isVerifying = resumed === undefined ? pass - lastVerified >= verifyMillis : previous?.verifying === true
    /** A checkpoint with what is known of the server by now. */
    const checkpointAt = (position: Walk.Position | null): Checkpoint => {
      const connections = remote.size.allowed()
      const hasCompared = position === null && (isVerifying || !byRevision)
      return {
        pass,
        position,
        verified: hasCompared ? pass : lastVerified,
        ...(isVerifying && position !== null ? { verifying: true } : {}),
        ...(connections === undefined ? {} : { connections })
      }
    }
    const needsTimes = task.window !== undefined || (byRevision && !task.force)
    const isLive = SyncTask.isLive(task)

    const page = Effect.fnUntraced(function* (step: Walk.Step) {
      const completed = needsTimes
        ? (yield* Effect.forEach(step.files, complete, { concurrency: config.connections ?? 4 })).flat()
        : step.files
      const files = completed.filter(({ modified }) => isInWindow(task.window, modified))
      const listed = files.map((file): Ref => ({ externalId: file.path, revision: Remote.revisionOf(file) }))
      const chosen =
        byRevision && !isVerifying
          ? yield* ContentExistenceChecker.selectNew(
              task,
              listed.filter(({ revision }) => revision !== undefined),
              { by: "revision" }
            )
          : listed
      const ids = new Set(chosen.map(({ externalId }) => externalId))
      const download = listed.filter(({ externalId, revision }) => revision === undefined || ids.has(externalId))
      const toDownload = new Set(download.map(({ externalId }) => externalId))
      const listedAt = yield* Clock.currentTimeMillis
      for (const file of files) if (toDownload.has(file.path)) remember(file, listedAt)
      const isLast = step.position === undefined
      return {
        listed,
        download,
        problems: step.problems,
        // Only the live task sees everything in turn; the marks of another's pass must not mix with its own.
        ...(isLive ? { listing: `pass ${pass}`, ...(isLast ? { covers: covered(step.unread) } : {}) } : {}),
        checkpoint: checkpointAt(step.position ?? null),
        parts: step.parts
      } satisfies Page<Checkpoint, EmptyFolders.Part>
    })

    return Walk.walk(
      {
        ...globs,
        list: remote.list,
        // Only the live task deletes what it does not find.
        confirm: (looks) =>
          isLive ? EmptyFolders.check(parts, pass, looks) : Effect.succeed({ unconfirmed: [], parts: [] }),
        maxDepth: config.maxDepth ?? 32,
        maxEntries: config.maxEntries ?? 5_000_000
      },
      resumed
    ).pipe(
      Stream.mapEffect(page),
      // The last page's files are downloaded after it was made: what that taught of the server is kept by one more
      // page.
      Stream.concat(
        Stream.suspend(() =>
          remote.size.allowed() === previous?.connections
            ? Stream.empty
            : Stream.succeed<Page<Checkpoint, EmptyFolders.Part>>({
                listed: [],
                download: [],
                ...(isLive ? { listing: `pass ${pass}` } : {}),
                checkpoint: checkpointAt(null)
              })
        )
      )
    )
  })

  const download = Effect.fnUntraced(function* (ref: Ref): Effect.fn.Return<Content, IntegrationError> {
    const path = ref.externalId
    const problem = Names.pathProblem(path)
    if (problem !== undefined) return yield* Effect.fail(Errors.malformed(`${Remote.quote(path)}: ${problem}`))
    const listed = remembered.get(path)
    remembered.delete(path)
    const listedAt = listed?.listedAt ?? (yield* Clock.currentTimeMillis)
    const before: Remote.Stat =
      listed === undefined || Remote.revisionOf(listed) === undefined ? yield* remote.stat(path) : listed
    yield* checkSettled(path, listed, before)
    const { size } = before
    if (size !== undefined && config.maxFileSize !== undefined && size > config.maxFileSize) {
      const message = `${Remote.quote(path)} has ${size} bytes, more than "maxFileSize"`
      return yield* Effect.fail(Errors.tooLarge(message))
    }
    const body = checked(path, before)
    const { name } = Names.split(path)
    return {
      kind: "file",
      title: name,
      occurredAt: Option.getOrUndefined(instant(before.modified)),
      metadata: { path, name, ...(size === undefined ? {} : { size }) },
      // A touched file has the same content.
      volatile: before.modified === undefined ? {} : { modified: before.modified },
      body: size !== undefined && size <= inlineBytes ? Buffer.concat(yield* Stream.runCollect(body)) : body,
      revision: storedRevision(before, listedAt)
    }
  })

  const checkSettled = Effect.fnUntraced(function* (
    path: string,
    listed: Remote.Stat | undefined,
    before: Remote.Stat
  ) {
    if (differ(listed?.size, before.size)) {
      return yield* Effect.fail(Errors.unsettled(`${Remote.quote(path)} changed after it was listed`))
    }
    const time = Option.getOrUndefined(instant(before.modified))
    if (settle === 0 || time === undefined) return
    const age = (yield* Clock.currentTimeMillis) - DateTime.toEpochMillis(time)
    if (age < settle) {
      return yield* Effect.fail(Errors.unsettled(`${Remote.quote(path)} was written less than "settle" ago`))
    }
  })

  /** The bytes, and an error at their end unless the file is then as it was before. */
  const checked = (path: string, before: Remote.Stat): Stream.Stream<Uint8Array, IntegrationError> =>
    Stream.suspend(() => {
      let bytes = 0
      const counted = Stream.tap(remote.read(path, before), (chunk) => {
        bytes += chunk.length
        // A body that is read as fast as it comes would keep the loop so busy that memory is freed late: a file of 1 GB
        // took 30 to 40 MB more.
        return Effect.yieldNow
      })
      const verified = Effect.gen(function* () {
        const after = yield* remote.stat(path)
        if (isChanged(before, after)) {
          return yield* Effect.fail(Errors.unsettled(`${Remote.quote(path)} changed while it was read`))
        }
        if (after.size !== undefined && after.size !== bytes) {
          return yield* Effect.fail(
            Errors.transient(`${Remote.quote(path)}: ${bytes} of its ${after.size} bytes were received`)
          )
        }
      })
      return Stream.concat(counted, Stream.fromEffectDrain(verified))
    })

  return {
    account: Effect.gen(function* () {
      yield* remote.connect
      yield* Effect.logInfo(comparison(yield* comparesRevisions, config))
      return `${config.protocol}://${usernameOf(credentials)}@${config.host}:${portOf(config)}`
    }),
    // How many files there are only a whole pass would tell. The root's listing tells whether it can be read.
    estimate: Effect.as(remote.list(""), { unitsPerItem: 2 }),
    list: (task, checkpoint, parts) => Stream.unwrap(list(task, checkpoint, parts)),
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

/** Everything but the folders that could not be read; nothing if the root is one, or if they are too many to name. */
const covered = (unread: ReadonlyArray<string> | null): ReadonlyArray<Coverage> =>
  unread === null || unread.includes("") ? [] : [{ prefix: "", except: unread.map((folder) => `${folder}/`) }]

/** A server grants no quota of its own: `connections` bounds what it is asked at a time. */
const unlimited = 1_000_000_000

export const integration = make<Config, Credentials, Checkpoint, EmptyFolders.Part>({
  domain: "ftp",
  projection,
  title: "FTP, FTPS, SFTP",
  summary: "the files of a server",
  config: Config,
  credentials: Credentials,
  checkpoint: Checkpoint,
  part: EmptyFolders.Part,
  scope: ["root", "include", "exclude", "maxDepth"],
  // `implicit` moves the port where none is given. `hostKey`, `ca` and `verifyCertificate` decide which server is
  // believed to be the host: without them whoever stands in between would be given the stored password.
  address: ["protocol", "host", "port", "implicit", "hostKey", "ca", "verifyCertificate"],
  quota: ({ quota }) => ({ unitsPerMinute: unlimited, ...quota }),
  // A listing of a hundred thousand names takes its time.
  callTimeout: "5 minutes",
  open: (options) => Effect.map(connectTo(options), (remote) => session(options.config, options.credentials, remote))
})
