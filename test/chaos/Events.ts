/** Executes the events of a schedule. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Fs from "node:fs"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Clients } from "./Clients.ts"
import type { Lean } from "./Process.ts"
import type { MirroredSource, Requests } from "./MirroredSources.ts"
import type { Broken } from "./Protocol.ts"
import type { Event } from "./Schedule.ts"
import type { SeedDatabase } from "./SeedDatabase.ts"
import type { SeedProcesses } from "./SeedProcesses.ts"
import type { Server, Standby } from "./Server.ts"
import type { Tally } from "./Tally.ts"
import * as Verify from "./Verify.ts"

export interface Options {
  readonly server: Server
  readonly database: SeedDatabase
  readonly mirrored: ReadonlyArray<MirroredSource>
  readonly requests: Requests
  readonly processes: SeedProcesses
  readonly clients: Clients | undefined
  /** Present if the schedule fails over to it. */
  readonly standby: Standby | undefined
  readonly broken: Broken | undefined
  /** While this file exists, the disk of large bodies is full. */
  readonly fullDisk: string
  readonly note: (line: string) => void
  readonly tally: Tally
}

type EventOf<Tag extends Event["_tag"]> = Extract<Event, { readonly _tag: Tag }>

export const make = (options: Options) => {
  const { broken, clients, database, fullDisk, mirrored, note, processes, requests, server, standby, tally } = options
  const background: Array<Fiber.Fiber<void>> = []

  /** Adds items, and terminates the session of a commit while later items are being processed. */
  const terminateCommit = Effect.fnUntraced(function* (
    { source }: MirroredSource,
    { deed }: EventOf<"TerminateCommit">
  ) {
    for (let index = 0; index < 3; index += 1) {
      note(`change in ${source.domain}: ${source.change({ ...deed, deed: 0, size: 4 })}`)
    }
    yield* database.ask(Verify.timePasses)
    tally.order("a commit's session terminated")
    const count = yield* server.terminateCommit(database.name, requests.after(3, 250))
    processes.disrupted(count)
    note(`terminated the sessions of ${count} commits`)
    if (count > 0) tally.meet("a commit's session terminated")
  })

  /** Makes a client submit a task. */
  const submit = Effect.fnUntraced(function* (client: Clients, target: MirroredSource, event: EventOf<"Task">) {
    const all = target.source.ids()
    const ids = all.filter((_, index) => index % 7 < event.ids)
    const body = event.ids === 0 ? {} : event.ids === 4 ? { force: true } : { forceIds: ids.slice(0, 10).map(String) }
    if (event.ids > 0) target.forced += event.ids === 4 ? all.length * 2 + 10 : 10
    if (event.ids > 0 && event.ids < 4 && ids.length === 0) return
    for (const id of body.forceIds ?? []) target.byId.add(id)
    background.push(yield* Effect.forkScoped(client.submit(target.name, body, event.twice)))
  })

  const hint = Effect.fnUntraced(function* ({ id, source }: MirroredSource, lean: Lean, event: EventOf<"Hint">) {
    const { of, stream, times, which } = event
    const isListening = stream === "silent" ? null : stream === "listens"
    const ids = source.ids()
    const item = ids[which % Math.max(1, ids.length)]
    const named = of === "nothing" || item === undefined ? [`nowhere/${which}`] : [item, item.split("/")[0] ?? item]
    const parts = of === "anything" ? [] : named
    note(`hint ${times} times to ${lean.pid}: ${parts.join(", ") || "anything"}`)
    tally.order("a hint", times)
    for (let time = 0; time < times; time += 1) {
      yield* lean.hint({ connectionId: ConnectionId.make(id), parts, isListening }, () => tally.meet("a hint"))
    }
  })

  /** Makes a person force everything of a source, or a few ids. */
  const force = Effect.fnUntraced(function* (target: MirroredSource, lean: Lean, event: EventOf<"Force">) {
    const ids = target.source.ids()
    const forceIds = [...new Set([ids[event.ids * 7], ids[event.ids * 3], ids[0]])].flatMap((id) =>
      id === undefined ? [] : [id]
    )
    const all = event.ids === 0
    target.forced += all ? ids.length * 2 + 10 : forceIds.length
    if (!all) for (const id of forceIds) target.byId.add(id)
    note(`force ${all ? "everything" : forceIds.join(", ")} of ${target.name}`)
    background.push(
      yield* lean.sync({ name: target.name, force: all, forceIds: all ? [] : forceIds }).pipe(
        Effect.tap((done) => Effect.sync(() => note(`forced: ${done.status} ${done.error}`))),
        Effect.asVoid,
        Effect.forkScoped
      )
    )
  })

  const downloadsMade = () => mirrored.map(({ source }) => source.downloads()?.made ?? 0)
  let madeBeforeLag: ReadonlyArray<number> = []

  /** Promotes the standby. The downloads whose commits it lacks are made again. */
  const failOver = Effect.fnUntraced(function* (standby: Standby, { first, lost: atLeast }: EventOf<"Failover">) {
    tally.order("a failover that lost commits")
    yield* Effect.timeoutOption(standby.lacks(atLeast), "10 seconds")
    clients?.failOver(false)
    const lost = yield* standby.takeOver({ first, unnoticed: broken === "epoch" ? database.name : undefined })
    clients?.failOver(true)
    note(`the standby took over, and lacks ${lost} transactions`)
    if (lost > 0) tally.meet("a failover that lost commits")
    processes.disrupted(processes.all.length)
    downloadsMade().forEach((made, index) => {
      const target = mirrored[index]
      if (target !== undefined) target.forced += made - (madeBeforeLag[index] ?? 0)
    })
  })

  const happen = Effect.fnUntraced(function* (event: Event) {
    const target = "source" in event ? mirrored[event.source] : undefined
    const struck = "process" in event ? processes.all[event.process] : undefined
    switch (event._tag) {
      case "Change": {
        if (target === undefined) return
        const act = () => note(`change: ${target.source.change(event.deed)}`)
        if (event.before === 0) act()
        else requests.before(event.before, act)
        return
      }
      case "Fault":
        if (target !== undefined) note(`fault: ${target.source.fault(event.deed)}`)
        return
      case "Kill":
        if (struck !== undefined) yield* processes.kill(event.process, struck)
        return
      case "Stop":
        if (struck !== undefined && !processes.isFrozen(struck)) yield* processes.stop(event.process, struck)
        return
      case "Freeze":
        if (struck !== undefined && !processes.isFrozen(struck)) yield* processes.freeze(struck, event.milliseconds)
        return
      case "Database":
        processes.disrupted(processes.all.length)
        note(`the database: ${event.how}`)
        yield* event.how === "sessions" ? server.cut(database.name) : server.restart(event.how)
        return
      case "Lag":
        if (standby === undefined) return
        yield* standby.caughtUp
        madeBeforeLag = downloadsMade()
        yield* standby.disconnect
        note("the standby lags")
        return
      case "Failover":
        if (standby !== undefined) yield* failOver(standby, event)
        return
      case "TerminateCommit":
        if (target !== undefined) yield* terminateCommit(target, event)
        return
      case "Task":
        if (target !== undefined && clients !== undefined) yield* submit(clients, target, event)
        return
      case "Endpoint":
        clients?.endpoint.fail(event.how, event.times)
        return
      case "BlobFolder":
        yield* processes.useFolder
        return
      case "FullDisk":
        note(`the disk is full for ${event.milliseconds} ms`)
        Fs.writeFileSync(fullDisk, "")
        background.push(
          yield* Effect.sleep(event.milliseconds).pipe(
            Effect.andThen(Effect.sync(() => Fs.rmSync(fullDisk, { force: true }))),
            Effect.forkScoped
          )
        )
        return
      case "Hint":
        if (target !== undefined && struck !== undefined) yield* hint(target, struck, event)
        return
      case "Time":
        note("time passes")
        yield* processes.timePasses
        return
      case "Force": {
        const [first] = processes.all
        if (target !== undefined && first !== undefined && !processes.isFrozen(first))
          yield* force(target, first, event)
        return
      }
    }
  })

  return {
    happen,
    /** Waits until everything that events started has ended. */
    ended: Effect.suspend(() => Effect.forEach(background, Fiber.join, { discard: true }))
  }
}
