/** Runs the real command line in this process, and captures its output. */
import { assert } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Queue from "effect/Queue"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as App from "../../src/App.ts"
import * as Cli from "../../src/cli/Cli.ts"
import * as ConfigFile from "../../src/cli/ConfigFile.ts"
import * as RemoteServer from "../../src/cli/RemoteServer.ts"
import { AppServices } from "../../src/cli/AppServices.ts"
import { Deriver } from "../../src/derive/Deriver.ts"
import type { Inspection } from "../../src/stores/postgres/DatabaseInspection.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import * as LocalApi from "../../src/http/client/LocalApi.ts"
import * as HttpServer from "../../src/http/Server.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import { MemorySource } from "../support/MemorySource.ts"
import * as TestEngine from "../support/TestEngine.ts"

export interface Ended {
  readonly code: number
  readonly stdout: Buffer
  readonly stderr: string
}

export interface Options {
  readonly stdin?: string
  /** True if the streams are a terminal's; false by default. */
  readonly terminal?: boolean
  /** The keys that are typed on the terminal: texts, and names of keys (`<return>`, `<down>`). */
  readonly keys?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Replaces stdout. */
  readonly stdout?: Stdio.Stdio["stdout"]
  /** Called with each text on stderr. */
  readonly onStderr?: (text: string) => void
}

/** Returns the text of the standard output, without the last newline. */
export const text = (ended: Ended): string => ended.stdout.toString().replace(/\n$/, "")

/** The one JSON document on its standard output. */
// oxlint-disable-next-line typescript/no-explicit-any
export const json = (ended: Ended): Record<string, any> => JSON.parse(ended.stdout.toString())

const keyed = (key: string): ReadonlyArray<Terminal.UserInput> => {
  const named = /^<(\w+)>$/.exec(key)?.[1]
  const press = (name: string, input: Option.Option<string>) => ({
    input,
    key: { name, ctrl: false, meta: false, shift: false }
  })
  return named === undefined
    ? Array.from(key, (letter) => press(letter, Option.some(letter)))
    : [press(named, Option.none())]
}

/** A terminal on which these keys are pressed, one prompt after the other. All its output is added to `output`. */
const typedTerminal = (keys: ReadonlyArray<string>, output: Array<Buffer>) =>
  Layer.effect(
    Terminal.Terminal,
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<Terminal.UserInput, Cause.Done>()
      yield* Queue.offerAll(queue, keys.flatMap(keyed))
      return Terminal.make({
        columns: Effect.succeed(200),
        rows: Effect.succeed(50),
        size: Effect.die("the size is not asked for"),
        readInput: Effect.succeed(queue),
        readLine: Effect.die("lines are not asked for"),
        display: (text) => Effect.sync(() => void output.push(Buffer.from(text)))
      })
    })
  )

/** Runs command lines in this process with these services, and captures their output. */
const runner =
  (services: Layer.Layer<AppServices | Integrations, never, FileSystem.FileSystem | Path.Path>) =>
  (args: ReadonlyArray<string>, options: Options = {}): Effect.Effect<Ended> =>
    Effect.gen(function* () {
      const stdout: Array<Buffer> = []
      const stderr: Array<Buffer> = []
      const into =
        (chunks: Array<Buffer>, heard: (text: string) => void = () => {}) =>
        () =>
          Sink.forEach((chunk: string | Uint8Array) =>
            Effect.sync(() => {
              chunks.push(Buffer.from(chunk))
              heard(chunk.toString())
            })
          )
      const stdio = Stdio.layerTest({
        args: Effect.succeed(args),
        stdout: options.stdout ?? into(stdout),
        stderr: into(stderr, options.onStderr),
        ...(options.terminal === true
          ? { stdinIsTerminal: Effect.succeed(true), stderrIsTerminal: Effect.succeed(true) }
          : {}),
        stdin: Stream.fromIterable(options.stdin === undefined ? [] : [Buffer.from(options.stdin)])
      })
      const said =
        (chunks: Array<Buffer>) =>
        (...parts: ReadonlyArray<unknown>): void =>
          void chunks.push(Buffer.from(`${parts.join(" ")}\n`))
      const exit = yield* Effect.exit(
        Cli.main(services).pipe(
          Effect.provide([
            Layer.provideMerge(
              options.keys === undefined ? stdio : Layer.merge(stdio, typedTerminal(options.keys, stdout)),
              NodeServices.layer
            ),
            ConfigProvider.layer(ConfigProvider.fromEnv({ env: options.env ?? {} })),
            Layer.succeed(Console.Console, { ...globalThis.console, log: said(stdout), error: said(stderr) })
          ])
        )
      )
      let code = 0
      Cli.teardown(args)(exit, (given) => {
        code = given
      })
      if (Exit.isFailure(exit) && code === 0) throw new Error("a failure that ends with 0")
      return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }
    })

/**
 * Returns a function that runs command lines with the services of a process, on the database and with the settings that
 * `env` names. `added` replaces the integrations of the config file.
 */
export const ofApp = (added = ConfigFile.load) =>
  runner(Layer.provide(App.layer, Layer.succeed(App.AddedIntegrations, added)))

/** A deriver that has extracted these texts, by external id. */
const withTexts = (texts: Readonly<Record<string, string | null>>): Deriver => {
  const none = Deriver.defaultValue()
  return {
    ...none,
    reads: {
      ...none.reads,
      get: ([connection = ""], { id }, { length, offset }) =>
        Effect.succeedSome({
          connection,
          id,
          kind: null,
          title: null,
          from: null,
          at: null,
          state: "stored",
          mediaType: null,
          size: 0,
          to: [],
          attachments: [],
          length: texts[id]?.length ?? 0,
          text: texts[id]?.slice(offset, offset + length) ?? null
        })
    }
  }
}

/**
 * Creates a database in memory and a scripted source, which exist until the scope closes, and returns a function that
 * runs command lines on them.
 */
export const make = Effect.fnUntraced(function* (
  source: MemorySource,
  engine: Parameters<typeof TestEngine.layer>[1] = {},
  options: { readonly inspection?: Partial<Inspection>; readonly texts?: Readonly<Record<string, string | null>> } = {}
) {
  const { texts = {} } = options
  const context = Context.add(yield* Layer.build(TestEngine.layer(source, engine)), Deriver, withTexts(texts))
  const started = { count: 0 }
  const layer = Layer.unwrap(
    Effect.sync(() => {
      started.count++
      return Layer.succeedContext(context)
    })
  )
  const services = Layer.succeed(AppServices, {
    api: RemoteServer.api(LocalApi.layer.pipe(Layer.provide(layer), Layer.provide(NodeServices.layer))),
    layer,
    poller: Scheduler.layer,
    server: HttpServer.layerConfig.pipe(Layer.provide(Layer.succeedContext(context))),
    copy: () => Effect.die("only a real database is copied into"),
    moveBlobs: Effect.die("only a real database has places for bodies"),
    inspectBlobs: Effect.succeed("in memory"),
    grant: () => Effect.die("only a real database has roles"),
    rekey: Effect.die("only a real database is rekeyed"),
    inspect: Effect.succeed({
      database: "a database in memory",
      schema: { found: 1, supported: 1 },
      clockSkewMs: 0,
      feedHolder: null,
      freeBytes: 10 * 1024 ** 3,
      ...options.inspection
    }),
    migrate: ({ newEpoch }) => Effect.succeed({ before: 1, after: 2, epoch: newEpoch ? 2 : 1, begun: newEpoch })
  })

  const run = runner(Layer.merge(services, Layer.succeed(Integrations, Context.get(context, Integrations))))

  /** Connects `name` to the scripted source. */
  const connect = (name: string) =>
    run(["connect", "memory", "--name", name, "--credentials", '{"token": "t0ps3cret"}'])

  return { run, connect, context, started }
})

/** The fields of a sync's document, in order. */
export const syncFields = [
  "connection",
  "run",
  "task",
  "status",
  "listed",
  "forced",
  "retried",
  "existing",
  "stored",
  "updated",
  "unchanged",
  "failed",
  "gone",
  "deferred",
  "patched",
  "deleted",
  "deletionsHeld",
  "downloads",
  "apiCalls",
  "quotaUnits",
  "checkerQueries",
  "durationMs"
]

/** A command line with the connection `work` to a source of `count` items. */
export const connected = Effect.fnUntraced(function* (count: number) {
  const source = new MemorySource()
  source.addMany(count)
  const cli = yield* make(source)
  const ended = yield* cli.connect("work")
  assert.strictEqual(ended.code, 0, ended.stderr)
  return { ...cli, source }
})
