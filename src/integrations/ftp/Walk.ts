/**
 * Walks through all folders below the root, in pages and in an order that a later walk can resume: a folder's files by
 * name, then its folders by name, each with everything below it. Memory holds the files of one folder, and the names of
 * the remaining folders on the path to it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { externalIdProblem } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Problem } from "../../contract/Page.ts"
import type { PartMove } from "../../contract/Parts.ts"
import type * as EmptyFolders from "./EmptyFolders.ts"
import * as Names from "./Names.ts"
import type { Listing, Stat } from "./Remote.ts"

/**
 * The position of a walk: in `folder`, whose files up to `after` are done, but none of its folders. `unread` has the
 * prefixes of paths that could not be read so far (the prefix of a folder ends with a slash); null if they are too many
 * to store.
 */
export const Position = Schema.Struct({
  folder: Schema.String,
  after: Schema.NullOr(Schema.String),
  unread: Schema.NullOr(Schema.Array(Schema.String)),
  /** The number of entries that the pass has listed so far. */
  entries: Schema.optionalKey(Schema.Int)
})
export type Position = typeof Position.Type

export interface Found extends Stat {
  readonly path: string
}

export interface Step {
  readonly files: ReadonlyArray<Found>
  readonly problems: ReadonlyArray<Problem>
  /** The parts of folders that were found empty, or are no longer empty. */
  readonly parts: ReadonlyArray<PartMove<EmptyFolders.Part>>
  /** Where the walk continues; undefined at its end. */
  readonly position: Position | undefined
  /** The prefixes of paths that may or may not exist; null if they are too many to store. */
  readonly unread: ReadonlyArray<string> | null
}

export interface Options<E> {
  readonly list: (folder: string) => Effect.Effect<Listing, IntegrationError>
  /** Called once a page for its folders. A folder that is empty and not confirmed is not covered. */
  readonly confirm: (
    listedFolders: ReadonlyArray<EmptyFolders.ListedFolder>
  ) => Effect.Effect<EmptyFolders.Confirmation, E>
  readonly maxDepth: number
  /** The most files and folders that one pass lists. The bound ends loops of links that can't be detected otherwise. */
  readonly maxEntries: number
  /** Returns true if a file is selected. */
  readonly takes: (path: string) => boolean
  /** Returns true if a folder may contain selected files. */
  readonly enters: (folder: string) => boolean
}

const maxFiles = 500
/** The most folders of one page, so that a walk through empty folders can be resumed too. */
const maxFolders = 100
const maxProblems = 100
/** The most unreadable names of one folder. Beyond it, the whole folder counts as unread. */
const maxUnreadNames = 20
/**
 * The limit in characters of JSON, so that a checkpoint stays under 64 KiB with two paths of 1,024 bytes, each byte
 * escaped.
 */
const maxUnreadLength = 40_000

interface Folder {
  readonly path: string
  readonly identity: string | undefined
}

interface Frame {
  readonly folder: string
  readonly identity: string | undefined
  readonly digest: string | undefined
  readonly files: ReadonlyArray<Found>
  readonly folders: ReadonlyArray<Folder>
  /** The number of files that are done. */
  filesDone: number
  foldersDone: number
}

/** The files and folders of a folder that are still to be walked. */
interface Remainder {
  /** True if an earlier page has counted the entries of the folder, and reported its problems. */
  readonly isResumed: boolean
  readonly files: (name: string) => boolean
  readonly folders: (name: string) => boolean
}

const all: Remainder = { isResumed: false, files: () => true, folders: () => true }

const byName = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : 1)

const depthOf = (folder: string): number => (folder === "" ? 0 : folder.split("/").length)

const isLoop = "it was left out: it leads back to a folder above it"

/** Walks from the position, or from the root. Fails if the root can't be listed. */
export const walk = <E>(options: Options<E>, from: Position | undefined): Stream.Stream<Step, IntegrationError | E> =>
  Stream.suspend(() => {
    const frames: Array<Frame> = []
    let unread = from?.unread === null ? undefined : new Set(from?.unread)
    let problems: Array<Problem> = []
    let listedFolders: Array<EmptyFolders.ListedFolder> = []
    let entries = from?.entries ?? 0
    /** The place of the walk. It is kept until the walk moves on: only an empty stack of folders ends the walk. */
    let at: { readonly folder: string; readonly after: string | null } = from ?? { folder: "", after: null }

    const skip = (folder: string) => markUnread(folder === "" ? "" : `${folder}/`)
    const markUnread = (prefix: string) => {
      unread?.add(prefix)
      if (unread !== undefined && JSON.stringify([...unread]).length > maxUnreadLength) unread = undefined
    }
    const known = () => (unread === undefined ? null : [...unread])
    const problem = (place: string, message: string) => problems.push({ place: place === "" ? "/" : place, message })

    /** Leaves out a folder. Stored content below it stays. */
    const leaveOut = (folder: string, message: string): undefined => {
      skip(folder)
      problem(folder, message)
    }

    /** Returns true if this folder is one of those above it, reached through a link. */
    const leadsBack = (identity: string | undefined, digest?: string) =>
      frames.some((frame) =>
        identity === undefined ? digest !== undefined && frame.digest === digest : frame.identity === identity
      )

    /** Lists a folder. Returns undefined if it is left out. */
    const listFolder = Effect.fnUntraced(function* (folder: string, listedIdentity: string | undefined) {
      if (depthOf(folder) > options.maxDepth) {
        return leaveOut(folder, `it was left out: it is more than ${options.maxDepth} folders deep`)
      }
      if (leadsBack(listedIdentity)) return leaveOut(folder, isLoop)
      const listing = yield* options.list(folder).pipe(
        Effect.catchIf(
          ({ reason }) => folder !== "" && ["Gone", "Forbidden", "Malformed"].includes(reason._tag),
          (error) => {
            // A folder that is gone was removed after its parent was listed. The next pass finds the present state.
            if (error.reason._tag === "Gone") skip(folder)
            else leaveOut(folder, error.message)
            return Effect.undefined
          }
        )
      )
      if (listing === undefined) return undefined
      const identity = listing.identity ?? listedIdentity
      return leadsBack(identity, listing.digest) ? leaveOut(folder, isLoop) : { ...listing, identity }
    })

    /** Reports the names of a folder that can't be read. */
    const report = (folder: string, listing: Listing, isResumed: boolean): void => {
      const { incomplete, problems, unread: names = [] } = listing
      if (!isResumed) for (const message of problems.slice(0, maxProblems)) problem(folder, message)
      if (incomplete !== undefined) leaveOut(folder, `the server did not list all of it: ${incomplete}`)
      if (names.length > maxUnreadNames) skip(folder)
      else for (const name of names) markUnread(Names.join(folder, name))
    }

    /** Selects the files and folders of a folder that are still to be walked. */
    const select = (folder: string, { entries }: Listing, { isResumed, ...remainder }: Remainder) => {
      const files: Array<Found> = []
      const folders: Array<Folder> = []
      for (const { identity, kind, modified, name, size } of [...entries].sort(byName)) {
        const path = Names.join(folder, name)
        const isFile = kind === "file" && remainder.files(name) && options.takes(path)
        const isFolder = kind === "folder" && remainder.folders(name) && options.enters(path)
        if (!isFile && !isFolder) continue
        const reason = externalIdProblem(path)
        if (reason !== undefined) {
          if (!isResumed) problem(path.slice(0, 200), reason)
        } else if (isFile) files.push({ path, size, modified })
        else folders.push({ path, identity })
      }
      const links = entries.filter(({ kind }) => kind === "link").length
      if (links > 0 && !isResumed) problem(folder, `${links} links in it were not followed`)
      return { files, folders }
    }

    /** Lists a folder and steps into it. Returns undefined if it is left out. */
    const enter = Effect.fnUntraced(function* (folder: string, remainder: Remainder, listedIdentity?: string) {
      const listing = yield* listFolder(folder, listedIdentity)
      if (listing === undefined) return undefined
      if (!remainder.isResumed) entries += listing.entries.length
      if (entries > options.maxEntries) {
        unread = undefined
        frames.length = 0
        const bound = `after more than ${options.maxEntries} files and folders`
        problem(folder, `the listing ended here, ${bound}: exclude folders, or raise "maxEntries"`)
        return undefined
      }
      listedFolders.push({ folder, isEmpty: listing.entries.length === 0 && listing.problems.length === 0 })
      report(folder, listing, remainder.isResumed)
      const { digest, identity } = listing
      frames.push({ folder, identity, digest, ...select(folder, listing, remainder), filesDone: 0, foldersDone: 0 })
      return listing
    })

    const begin = Effect.gen(function* () {
      if (from === undefined) {
        yield* enter("", all)
        return
      }
      const { after, folder } = from
      const names = folder === "" ? [] : folder.split("/")
      let identity: string | undefined
      for (const [depth, next] of names.entries()) {
        const remainder: Remainder = { isResumed: true, files: () => false, folders: (name) => name > next }
        const listing = yield* enter(names.slice(0, depth).join("/"), remainder, identity)
        identity = listing?.entries.find(({ name }) => name === next)?.identity
      }
      yield* enter(folder, { ...all, isResumed: true, files: (name) => after === null || name > after }, identity)
    })

    const step = Effect.gen(function* () {
      const files: Array<Found> = []
      let entered = 0
      for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
        if (frame.filesDone < frame.files.length) {
          const some = frame.files.slice(frame.filesDone, frame.filesDone + maxFiles - files.length)
          files.push(...some)
          const last = files.at(-1)?.path ?? ""
          frame.filesDone += some.length
          at = { folder: frame.folder, after: Names.split(last).name }
        } else if (frame.foldersDone < frame.folders.length) {
          const { identity, path: folder } = frame.folders[frame.foldersDone++] ?? { path: "", identity: undefined }
          entered++
          yield* enter(folder, all, identity)
          at = { folder, after: null }
        } else {
          frames.pop()
        }
        if (files.length >= maxFiles || entered >= maxFolders || problems.length >= maxProblems) break
      }
      const confirmation = yield* options.confirm(listedFolders)
      listedFolders = []
      confirmation.unconfirmed.forEach(skip)
      const position = frames.length === 0 ? undefined : { ...at, unread: known(), entries }
      const done: Step = { files, problems, parts: confirmation.parts, position, unread: known() }
      problems = []
      return [[done], position === undefined ? Option.none() : Option.some(undefined)] as const
    })

    return Stream.concat(
      Stream.fromEffectDrain(begin),
      Stream.paginate<undefined, Step, IntegrationError | E>(undefined, () => step)
    )
  })
