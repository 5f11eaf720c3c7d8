/** Lean processes (see child.ts). Each is started once, and plays one seed after the other, until it is killed. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as ChildProcess from "node:child_process"
import * as Readline from "node:readline"
import { programFile } from "../support/IdemProcess.ts"
import { type Command, CommandLine, type Reply, ReplyLine, type Start, type Synced } from "./Protocol.ts"

const program = programFile("test/chaos/child.ts")

const encode = Schema.encodeSync(CommandLine)
const decode = Schema.decodeUnknownSync(ReplyLine)

export interface Lean {
  readonly pid: number
  /** Waits until the process accepts commands, or is dead. */
  readonly ready: Effect.Effect<void>
  /** Begins a seed; returns at once. */
  readonly start: (start: Start) => Effect.Effect<void>
  /** Ends the seed in order. Returns false if the process is dead, or does not respond within ten seconds. */
  readonly stop: Effect.Effect<boolean>
  readonly sync: (command: Omit<Extract<Command, { _tag: "Sync" }>, "_tag">) => Effect.Effect<Synced>
  /** Sends a hint to the process; `taken` is called for each hint that the process accepts from now on. */
  readonly hint: (command: Omit<Extract<Command, { _tag: "Hint" }>, "_tag">, taken: () => void) => Effect.Effect<void>
  /** Puts the process's clock forward by hours. */
  readonly later: (hours: number) => Effect.Effect<void>
  readonly signal: (name: "SIGKILL" | "SIGSTOP" | "SIGCONT") => void
  readonly isAlive: () => boolean
  /** Returns the port at which the process serves HTTP; undefined until it does. */
  readonly port: () => number | undefined
  /** Returns the defects since the last call, and the output on stderr. */
  readonly complaints: () => ReadonlyArray<string>
}

const spawn = Effect.sync((): Lean => {
  const child = ChildProcess.spawn(process.execPath, [program], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      CHAOS_LOG: process.env["CHAOS_LOG"],
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"]
    }
  })
  let complaints: Array<string> = []
  let alive = true
  let port: number | undefined
  let onHinted = () => {}
  // On a busy machine, starting takes seconds, so time limits begin only when the process is ready.
  const ready = Deferred.makeUnsafe<void>()
  let waiting: { readonly tag: Reply["_tag"]; readonly reply: Deferred.Deferred<Reply | undefined> } | undefined

  const answer = (reply: Reply | undefined) => {
    if (waiting === undefined || (reply !== undefined && reply._tag !== waiting.tag)) return
    const answered = waiting.reply
    // The waiting caller may send another command before this returns.
    waiting = undefined
    Deferred.doneUnsafe(answered, Exit.succeed(reply))
  }
  Readline.createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) {
      if (process.env["CHAOS_LOG"] === "1") process.stderr.write(`[${child.pid}] ${line}\n`)
      else complaints.push(line)
      return
    }
    const reply = decode(line)
    if (reply._tag === "Defect") complaints.push(reply.message)
    if (reply._tag === "Serving") port = reply.port
    if (reply._tag === "Hinted") onHinted()
    if (reply._tag === "Ready") Deferred.doneUnsafe(ready, Exit.void)
    answer(reply)
  })
  child.stderr.on("data", (bytes) => {
    complaints.push(String(bytes))
  })
  child.on("exit", () => {
    alive = false
    port = undefined
    Deferred.doneUnsafe(ready, Exit.void)
    answer(undefined)
  })
  child.stdin.on("error", () => undefined)

  const send = (command: Command) => Effect.sync(() => void child.stdin.write(`${encode(command)}\n`))

  const oneAtATime = Semaphore.makeUnsafe(1)

  /** Returns the reply of this kind; undefined if the process dies, or the time limit is reached. */
  const ask = (command: Command, tag: Reply["_tag"], within: number) =>
    Effect.gen(function* () {
      yield* Deferred.await(ready)
      if (!alive) return undefined
      const reply = yield* Deferred.make<Reply | undefined>()
      waiting = { tag, reply }
      yield* send(command)
      return yield* Effect.timeoutOrElse(Deferred.await(reply), {
        duration: within,
        orElse: () => Effect.succeed(undefined)
      })
    }).pipe(oneAtATime.withPermit)

  return {
    pid: child.pid ?? 0,
    ready: Deferred.await(ready),
    start: (start) =>
      Effect.suspend(() => {
        port = undefined
        return send(start)
      }),
    stop: Effect.map(ask({ _tag: "Stop" }, "Stopped", 60_000), (reply) => reply !== undefined),
    sync: (command) =>
      Effect.map(ask({ _tag: "Sync", ...command }, "Synced", 120_000), (reply) =>
        reply?._tag === "Synced"
          ? reply
          : { _tag: "Synced", status: "failed", error: alive ? "no answer in 2 minutes" : "it died", counts: {} }
      ),
    hint: (command, taken) =>
      Effect.suspend(() => {
        onHinted = taken
        return send({ _tag: "Hint", ...command })
      }),
    later: (hours) => send({ _tag: "Later", hours }),
    signal: (name) => void child.kill(name),
    isAlive: () => alive,
    port: () => port,
    complaints: () => [...new Set(complaints.splice(0))].slice(0, 20)
  }
})

export interface Pool {
  /** Takes a process that waits for a seed. */
  readonly take: Effect.Effect<Lean>
  /** Returns a process that has stopped its seed to the pool. */
  readonly give: (lean: Lean) => void
}

/**
 * A pool of processes, which are killed with the scope. The pool always starts one process ahead, so that a seed that
 * kills a process need not wait.
 */
export const pool: Effect.Effect<Pool, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => ({ all: new Set<Lean>(), free: new Array<Lean>() })),
  ({ all }) => Effect.sync(() => all.forEach((lean) => lean.signal("SIGKILL")))
).pipe(
  Effect.map(({ all, free }) => {
    const add = Effect.map(spawn, (lean) => {
      all.add(lean)
      return lean
    })
    return {
      take: Effect.gen(function* () {
        for (const dead of [...all].filter((lean) => !lean.isAlive())) all.delete(dead)
        const ready = free.filter((lean) => lean.isAlive())
        free.splice(0, free.length, ...ready)
        const taken = free.shift() ?? (yield* add)
        if (free.length === 0) free.push(yield* add)
        return taken
      }),
      give: (lean) => void free.push(lean)
    }
  })
)
