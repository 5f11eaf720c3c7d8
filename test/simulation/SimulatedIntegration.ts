/** The integration over simulated sources: what a well-behaved author would write, with a provider that is not. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import * as Integration from "../../src/contract/Integration.ts"
import * as Errors from "../../src/contract/IntegrationError.ts"
import type { Coverage, Page } from "../../src/contract/Page.ts"
import type { Parts } from "../../src/contract/Parts.ts"
import { inWindow, isLive, type SyncTask } from "../../src/contract/SyncTask.ts"
import type { Random } from "../chaos/Random.ts"
import { Caller } from "./Caller.ts"
import type { Faults } from "./Faults.ts"
import { folders, type SimulatedSource } from "./SimulatedSource.ts"

export interface Pass {
  readonly name: string
  /** The place in the log where it began. */
  readonly from: number
  /** The place in its order up to which it has listed. */
  readonly after: string
  /** The folder of a pass over one part. */
  readonly folder: string | null
}

/** `format` is checked against the source's: the checkpoint of another format can't be read. */
export interface Checkpoint {
  readonly format: number
  /** The scope under which it was made. */
  readonly folders: ReadonlyArray<string>
  /** Changes before this position of the log were listed. */
  readonly position: number
  readonly pass: Pass | null
  /** The passes that came to their end, latest last: one, or one of each part in this round. */
  readonly done: ReadonlyArray<Pass>
  /** False once a poll of parts is through: the next begins a new round. */
  readonly underWay: boolean
  readonly round: Round
}

/** A round over the parts that a poll lists: all of them, or those that were hinted. */
interface Round {
  /** The parts that come after the one of the present pass. */
  readonly left: ReadonlyArray<string>
  readonly isWhole: boolean
  /** Rounds in a row that left out what was not hinted, since a stream of hints was listening. */
  readonly leftOut: number
}

export const Checkpoint: Schema.Codec<Checkpoint> = (() => {
  const Pass = Schema.Struct({
    name: Schema.String,
    from: Schema.Int,
    after: Schema.String,
    folder: Schema.NullOr(Schema.String)
  })
  return Schema.Struct({
    format: Schema.Int,
    folders: Schema.Array(Schema.String),
    position: Schema.Int,
    pass: Schema.NullOr(Pass),
    done: Schema.Array(Pass),
    underWay: Schema.Boolean,
    round: Schema.Struct({ left: Schema.Array(Schema.String), isWhole: Schema.Boolean, leftOut: Schema.Int })
  })
})()

const Config = Schema.Struct({
  folders: Schema.optionalKey(Schema.Array(Schema.String)),
  note: Schema.optionalKey(Schema.String),
  unitsPerMinute: Schema.optionalKey(Schema.Finite)
})
const Credentials = Schema.Struct({ account: Schema.String, token: Schema.Redacted(Schema.String) })
type Credentials = typeof Credentials.Type

/** The end of every order. */
const end = "\uffff"

/** Items occurred an hour apart. */
export const occurredAt = (hours: number): DateTime.Utc => DateTime.makeUnsafe(Date.UTC(2026, 0, 1) + hours * 3_600_000)

export interface Edge {
  readonly sources: ReadonlyMap<string, SimulatedSource>
  readonly faults: Faults
  readonly random: Random
  readonly now: () => number
  /** False where every answer comes at once. */
  readonly isRough: () => boolean
  readonly say: (text: () => string) => void
  /** The pass in the connection's checkpoint. */
  readonly passOf: (account: string) => Pass | null
  /** A session was opened; the oracle says whether it may be. */
  readonly opened: (caller: Caller, account: string) => void
}

const errorOf = (reason: Errors.Reason["_tag"], message: string, retryAfter?: number): Errors.IntegrationError => {
  const made = (() => {
    switch (reason) {
      case "RateLimited":
        return new Errors.RateLimited(
          retryAfter === undefined ? { message } : { message, retryAfter: Duration.millis(retryAfter) }
        )
      case "Unauthorized":
        return new Errors.Unauthorized({ message })
      case "Transient":
        return new Errors.Transient({ message })
      case "CheckpointExpired":
        return new Errors.CheckpointExpired({ message })
      case "Gone":
        return new Errors.Gone({ message })
      case "Forbidden":
        return new Errors.Forbidden({ message })
      case "TooLarge":
        return new Errors.TooLarge({ message })
      case "Malformed":
        return new Errors.Malformed({ message })
      case "Unsettled":
        return new Errors.Unsettled({ message })
    }
  })()
  return new Errors.IntegrationError({ reason: made })
}

export const make = (edge: Edge): Integration.Integration => {
  const sourceOf = (account: string): SimulatedSource => {
    const source = edge.sources.get(account)
    if (source === undefined) throw new Error(`there is no source ${account}`)
    return source
  }
  const checkpointOf = Checkpoint.pipe(
    // Both accounts share a format: that of the first source.
    Schema.check(
      Schema.makeFilter<Checkpoint>(({ format }) => {
        const [first] = edge.sources.values()
        return format === first?.format
      })
    )
  )
  return Integration.make<typeof Config.Type, Credentials, Checkpoint>({
    domain: "simulated",
    config: Config,
    credentials: Credentials,
    checkpoint: checkpointOf,
    scope: ["folders"],
    quota: ({ unitsPerMinute }) => ({ unitsPerMinute: unitsPerMinute ?? 1e12 }),
    open: ({ call, config, credentials }) =>
      Effect.map(Caller, (caller) => {
        edge.opened(caller, credentials.account)
        caller.told = { problems: 0, failedItems: 0 }
        return session(edge, sourceOf(credentials.account), {
          call,
          caller,
          token: Redacted.value(credentials.token),
          scope: config.folders ?? folders
        })
      })
  })
}

const session = (
  edge: Edge,
  source: SimulatedSource,
  options: {
    readonly call: Integration.Call
    readonly caller: Caller
    readonly token: string
    readonly scope: ReadonlyArray<string>
  }
): Integration.Session<Checkpoint> => {
  const { caller, scope, token } = options
  const { profile } = source
  const { random } = edge
  /** Each session is that of one slice. */
  const slice = source.ticks.next()
  /** The pass that this slice began, for the connection's own checkpoint. */
  let begun: Pass | null = null

  /** How long an answer takes: mostly soon, now and then long enough for a batch to age, rarely beyond the deadline. */
  const latency = () =>
    Effect.suspend(() => {
      if (!edge.isRough()) return Effect.void
      const kind = random.next()
      const millis =
        kind < 0.3
          ? 0
          : kind < 0.95
            ? random.between(1, profile.latency)
            : kind < 0.999
              ? random.between(1000, 9000)
              : 70_000
      return millis === 0 ? Effect.void : Effect.sleep(Duration.millis(millis))
    })

  const refusal = (kind: string, id: string): Errors.IntegrationError | undefined => {
    if (edge.now() < source.outageUntil) return errorOf("Transient", "the source is away")
    if (source.revoked.has(token)) {
      source.refused.set(token, source.ticks.now)
      return errorOf("Unauthorized", `${token} was revoked`)
    }
    const fault = edge.faults.takeSource(source.account, kind)
    if (fault !== undefined) {
      if (fault.reason === "Unauthorized") source.refused.set(token, source.ticks.now)
      return errorOf(fault.reason, `${kind} was refused`, fault.retryAfter)
    }
    const reason = kind === "download" ? source.poisoned.get(id) : undefined
    return reason === undefined ? undefined : errorOf(reason, `${id} can't be read`)
  }

  const ask = <A>(kind: string, id: string, answer: () => Effect.Effect<A, Errors.IntegrationError>) =>
    options.call(
      kind,
      1,
      Effect.suspend(() => {
        const refused = refusal(kind, id)
        const name = id === "" ? kind : `${kind} ${id}`
        edge.say(() => `${caller.process.name}: ${name}${refused === undefined ? "" : `: ${refused.reason._tag}`}`)
        if (refused === undefined) return Effect.andThen(latency(), Effect.suspend(answer))
        if (kind === "download" && !["Transient", "RateLimited", "Unauthorized"].includes(refused.reason._tag)) {
          if (refused.reason._tag !== "Unsettled" && refused.reason._tag !== "Gone") caller.told.failedItems += 1
        }
        return Effect.fail(refused)
      })
    )

  const contentOf = (id: string): Content | undefined => {
    const item = source.items.get(id)
    const found = source.downloadable(id)
    if (item === undefined || found === undefined) return undefined
    if (item.current === undefined) {
      edge.faults.happened("what was deleted is served")
      source.staleAt.set(id, source.ticks.now)
      if (!isListing) source.cached.add(id)
      // The log no longer tells of its deletion, and what is stored during a pass is not absent from it.
      const passes = [begun, edge.passOf(source.account)]
      if (profile.mode === "feed" && passes.some((pass) => pass !== null && source.isUntoldFrom(pass.from, id))) {
        source.keptSince.set(id, slice)
      }
    }
    const { body, version } = found
    source.readAt.set(id, source.ticks.now)
    const isStreamed = version % 3 === 0
    return {
      kind: "thing",
      title: `${id} in version ${version}`,
      occurredAt: occurredAt(item.at),
      metadata: { version, labels: profile.labels ? item.labels : 0 },
      volatile: { read: source.ticks.now },
      body: isStreamed ? Stream.fromIterable([body.subarray(0, 3), body.subarray(3)]) : body,
      ...(profile.by === "revision" && profile.revisionWithBytes ? { revision: String(version) } : {})
    }
  }

  const refOf = (id: string): Ref => {
    const version = source.items.get(id)?.current?.version
    const content = version !== undefined && (version * 7) % 10 < profile.inline * 10 ? contentOf(id) : undefined
    return {
      externalId: id,
      ...(profile.by === "revision" && version !== undefined ? { revision: String(version) } : {}),
      ...(content === undefined ? {} : { content })
    }
  }

  // A session that lists nothing reads ids that a person chose.
  let isListing = false
  const inScope = (id: string): boolean => scope.some((folder) => id.startsWith(folder))

  const list = (task: SyncTask, given: Option.Option<Checkpoint>, { hinted }: Parts<unknown>) => {
    isListing = true
    const isWindowed = task.window !== undefined
    const inTask = (id: string) => inScope(id) && inWindow(task, occurredAt(source.items.get(id)?.at ?? 0))
    const select = (refs: ReadonlyArray<Ref>) => ContentExistenceChecker.selectNew(task, refs, { by: profile.by })

    const beginPass = (folder: string | null, from = source.log.length): Pass => {
      source.passes += 1
      const name = `pass ${source.passes}${folder === null ? "" : ` over ${folder}`}`
      source.served.set(name, [])
      source.beganIn.set(name, slice)
      const pass = { name, from, after: "", folder }
      if (isLive(task)) begun = pass
      return pass
    }
    const whole: Round = { left: scope.slice(1), isWhole: true, leftOut: 0 }
    const firstPass = () => (profile.mode === "parts" ? beginPass(scope[0] ?? "a") : beginPass(null))
    const begin = (): Checkpoint => {
      // What was deleted before is told by nothing.
      if (profile.coverage === "none") for (const id of source.absent()) source.untold.add(id)
      return {
        format: source.format,
        folders: scope,
        position: source.log.length,
        pass: firstPass(),
        done: [],
        underWay: true,
        round: whole
      }
    }
    const told = scope.filter((folder) => hinted.parts.includes(folder))
    /**
     * The next round: over what was hinted first, and over the rest too unless hints alone brought this poll forward, or
     * a stream listens. A stream may lose hints: each third poll looks everywhere.
     */
    const nextRound = (at: Checkpoint): Checkpoint => {
      const { leftOut } = at.round
      const isWhole = !hinted.only && (!hinted.isListening || leftOut >= 2)
      const [first, ...left] = isWhole ? [...told, ...scope.filter((folder) => !told.includes(folder))] : told
      const round = { left, isWhole, leftOut: isWhole ? 0 : hinted.only ? leftOut : leftOut + 1 }
      if (!isWhole) edge.faults.wasMet("a hint")
      if (first === undefined) return { ...at, done: [], underWay: false, round }
      return { ...at, pass: beginPass(first), done: [], underWay: true, round }
    }
    const resume = (at: Checkpoint): Checkpoint => {
      if (profile.mode === "feed") return at
      if (profile.mode === "passes") {
        return at.pass === null ? { ...at, pass: firstPass(), done: [], underWay: true } : at
      }
      if (at.pass === null) return nextRound(at)
      // What was hinted during a round is listed at its end.
      const { left } = at.round
      return { ...at, round: { ...at.round, left: [...left, ...told.filter((folder) => !left.includes(folder))] } }
    }
    const start = Option.match(given, { onNone: begin, onSome: resume })

    /** The labels that listed items have now: a patch tells them of content that is stored already. */
    const labelsOf = (refs: ReadonlyArray<Ref>) =>
      refs.flatMap(({ externalId }) => {
        const labels = source.items.get(externalId)?.labels
        return !profile.labels || labels === undefined ? [] : [{ externalId, metadata: { labels } }]
      })

    const changes = (at: Checkpoint) =>
      Effect.gen(function* () {
        const found = yield* ask("changes", "", () => {
          if (at.position < source.forgotten) {
            return Effect.fail(errorOf("CheckpointExpired", `position ${at.position} is forgotten`))
          }
          return Effect.succeed(source.log.slice(at.position, at.position + profile.pageSize))
        })
        const last = new Map(found.map((change) => [change.id, change.kind === "patch" ? "put" : change.kind]))
        const there = (id: string) => source.items.get(id)?.current !== undefined
        const deleted = [...last].flatMap(([id, kind]) =>
          kind === "delete" && (profile.tellsAll || !there(id)) ? [id] : []
        )
        const put = found.filter((change) => change.kind === "put" && last.get(change.id) === "put")
        const ids = put.map((change) => change.id).filter((id) => there(id) && inTask(id))
        const listed = (profile.repeats ? ids : [...new Set(ids)]).map(refOf)
        const patches = [
          ...found.flatMap((change) =>
            change.kind === "patch" ? [{ externalId: change.id, metadata: { labels: change.labels } }] : []
          ),
          ...labelsOf(listed)
        ]
        const page: Page<Checkpoint> = {
          listed,
          download: yield* select(listed),
          deleted,
          patches,
          checkpoint: { ...at, format: source.format, position: at.position + found.length }
        }
        edge.say(() => `  changes to ${page.checkpoint.position}: ${ids.join(" ")}, deleted ${deleted.join(" ")}`)
        return page
      })

    /** The next page of a pass. One that the source forgot begins again. */
    const passPage = (at: Checkpoint, given: Pass) =>
      Effect.gen(function* () {
        let pass = given
        const found = yield* ask("list", "", () => {
          if (source.forgottenPasses.has(pass.name) && pass.after !== "") {
            edge.faults.wasMet("a pass is forgotten")
            if (profile.forgottenPass === "expires") {
              return Effect.fail(errorOf("CheckpointExpired", `${pass.name} is forgotten`))
            }
            // The log still reports the changes since the pass began: the next pass starts from there, as the first one
            // does.
            pass = beginPass(pass.folder, pass.from)
          }
          const isClosed = pass.folder !== null && source.closed.has(pass.folder)
          const wanted = (id: string) => inTask(id) && (pass.folder === null || id.startsWith(pass.folder))
          const keyed = source
            .present()
            .filter((id) => wanted(id) && !source.closed.has(id.slice(0, 1)))
            .map((id) => ({ id, key: source.keyOf(id) }))
            .toSorted((a, b) => (a.key < b.key ? -1 : 1))
          const left = keyed.filter(({ key }) => key > pass.after)
          const page = left.slice(0, profile.pageSize)
          const isLast = left.length <= profile.pageSize || isClosed
          const after = isLast ? end : (page.at(-1)?.key ?? end)
          source.served.get(pass.name)?.push({ tick: source.ticks.next(), upTo: after })
          const before = profile.repeats ? keyed.findLast(({ key }) => key <= pass.after) : undefined
          const again = profile.repeats ? page[0] : undefined
          const listed = [before, ...page, again].flatMap((one) => (one === undefined ? [] : [one.id]))
          const hidden = new Set([...(source.hidden.get(pass.name) ?? []), ...source.closed])
          source.hidden.set(pass.name, hidden)
          const deleted =
            profile.coverage === "none"
              ? source.deletedSince(at.position)
              : profile.tellsInPass
                ? source.deletedSince(pass.from)
                : []
          const refs = listed.map(refOf)
          return Effect.succeed({ after, isLast, closed: [...hidden], refs, deleted, position: source.log.length })
        })
        const { after, closed, deleted, isLast, position, refs } = found
        const unlisted = closed.filter((folder) => (pass.folder ?? folder) === folder && scope.includes(folder))
        const covers: Array<Coverage> = []
        if (isLast && !isWindowed && profile.coverage !== "none") {
          if (pass.folder !== null) {
            if (unlisted.length === 0) covers.push({ prefix: pass.folder })
          } else if (profile.coverage === "all") covers.push({ prefix: "", except: unlisted })
          else covers.push(...scope.filter((each) => !unlisted.includes(each)).map((prefix) => ({ prefix })))
        }
        const problems = isLast ? unlisted.map((place) => ({ place, message: `${place} can't be listed` })) : []
        problemsOfPage = problems.length
        const listedTo: Pass = { ...pass, after }
        const [nextFolder, ...left] = pass.folder === null ? [] : at.round.left
        const next = isLast && nextFolder !== undefined ? beginPass(nextFolder) : null
        const page: Page<Checkpoint> = {
          listed: refs,
          download: yield* select(refs),
          deleted,
          listing: pass.name,
          covers,
          complete: isLast && next === null && unlisted.length === 0 && !isWindowed && at.round.isWhole,
          problems,
          patches: labelsOf(refs),
          checkpoint: {
            ...at,
            format: source.format,
            ...(profile.coverage === "none" ? { position } : {}),
            pass: isLast ? next : listedTo,
            done: isLast ? [...at.done, listedTo] : at.done,
            underWay: !isLast || next !== null,
            round: isLast ? { ...at.round, left } : at.round
          }
        }
        edge.say(() => `  ${pass.name}: ${refs.map((ref) => ref.externalId).join(" ")}${isLast ? ", the last" : ""}`)
        return page
      })

    // A page is taken once more is asked for: one that is listed beyond the end of a slice comes again with the next.
    let problemsOfPage = 0
    const pageTaken = Effect.sync(() => {
      caller.told.problems += problemsOfPage
      problemsOfPage = 0
    })

    const step = (at: Checkpoint & { readonly caughtUp?: boolean }) =>
      Effect.gen(function* () {
        yield* pageTaken
        if (source.hangs) {
          source.hangs = false
          edge.faults.wasMet("a listing hangs")
          return yield* Effect.never
        }
        if (profile.mode === "feed" && at.caughtUp !== true && Option.isSome(given)) {
          const page = yield* changes(at)
          const { checkpoint } = page
          const more = checkpoint.position < source.log.length
          const isIdle = checkpoint.position === at.position
          const next = more || at.pass !== null ? Option.some({ ...checkpoint, caughtUp: !more }) : Option.none()
          return [isIdle ? [] : [page], next] as const
        }
        if (at.pass === null) {
          // A round over no part only counts.
          const isCounted = profile.mode === "parts" && !hinted.only
          return [isCounted ? [{ listed: [], download: [], checkpoint: at }] : [], Option.none()] as const
        }
        const page = yield* passPage(at, at.pass)
        const { checkpoint } = page
        const next = checkpoint.pass === null ? Option.none() : Option.some({ ...checkpoint, caughtUp: true })
        return [[page], next] as const
      })
    return Stream.onEnd(Stream.paginate(start as Checkpoint & { readonly caughtUp?: boolean }, step), pageTaken)
  }

  return {
    account: ask("account", "", () => Effect.succeed(source.account)),
    estimate: Effect.succeed({ unitsPerItem: 1 }),
    list,
    download: ({ externalId }) => {
      if (!isListing) source.byId.add(externalId)
      return ask("download", externalId, () => {
        source.downloads += 1
        const content = contentOf(externalId)
        edge.say(() => `  ${externalId} is ${content?.title ?? "gone"}`)
        if (content === undefined) source.toldGone.add(externalId)
        if (content === undefined) return Effect.fail(errorOf("Gone", `${externalId} is gone`))
        if (source.items.get(externalId)?.current === undefined || !source.doomed.delete(externalId)) {
          return Effect.as(latency(), content)
        }
        edge.faults.wasMet("a deletion while it is read")
        source.remove([externalId])
        return Effect.as(Effect.sleep(Duration.millis(random.between(200, 9000))), content)
      })
    }
  }
}
