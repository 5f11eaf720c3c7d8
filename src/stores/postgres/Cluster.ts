/**
 * Membership in a cluster of processes on one PostgreSQL database. The database stores the owner of each shard, and
 * processes wake each other over sockets. Messages are volatile: the durable work is in the connections' rows. The
 * sockets have no password: they listen on the loopback interface unless a setting changes that, and must then be
 * reachable only by the processes of the cluster.
 */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as Config from "effect/Config"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import type * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import type * as SocketServer from "effect/socket/SocketServer"
import type * as SqlClient from "effect/sql/SqlClient"
import { createServer } from "node:net"
import * as DurationSetting from "../../engine/DurationSetting.ts"
import { StoreError } from "../../engine/store/StoreError.ts"

const port = (name: string) => Config.option(Config.Port(name))
const host = (name: string) => Config.option(Config.NonEmptyString(name))

/**
 * A duration from 100 milliseconds (a shorter lock would expire while it is held) to 10 minutes (a dead process would
 * keep its shards that long).
 */
const duration = (name: string, standard: Duration.Duration) =>
  DurationSetting.make(name, { standard, least: Duration.millis(100), most: Duration.minutes(10) })

/**
 * The settings have Effect's names (`ShardingConfig`), except for the address at which other processes reach this one:
 * `RUNNER_HOST` and `RUNNER_PORT`, because `HOST` and `PORT` belong to the HTTP API. The default is any free port of
 * the loopback interface, which suits a cluster on one machine. With Effect's own defaults, a killed process is
 * replaced after half a minute; with these, after 5 to 11 seconds.
 */
const settings = Config.all({
  host: host("RUNNER_HOST"),
  port: port("RUNNER_PORT"),
  listenHost: host("LISTEN_HOST"),
  listenPort: port("LISTEN_PORT"),
  shardLockExpiration: duration("SHARD_LOCK_EXPIRATION", Duration.seconds(10)),
  shardLockRefreshInterval: duration("SHARD_LOCK_REFRESH_INTERVAL", Duration.seconds(2)),
  runnerHealthCheckInterval: duration("RUNNER_HEALTH_CHECK_INTERVAL", Duration.seconds(5)),
  refreshAssignmentsInterval: duration("REFRESH_ASSIGNMENTS_INTERVAL", Duration.seconds(1))
})

/** How long the locks of a dead process last. Its leases need not last longer. */
export const expiration: Config.Config<Duration.Duration> = Config.map(settings, (set) => set.shardLockExpiration)

const freePort = (address: string) =>
  Effect.callback<number, StoreError>((resume) => {
    const server = createServer()
    server.on("error", (cause) =>
      resume(
        Effect.fail(
          new StoreError({ message: `LISTEN_HOST: this process can't listen on ${address}: ${cause.message}`, cause })
        )
      )
    )
    server.listen(0, address, () => {
      const bound = server.address()
      server.close(() => resume(Effect.succeed(typeof bound === "object" && bound !== null ? bound.port : 0)))
    })
  })

const sharding = Effect.gen(function* () {
  const { host, listenHost, listenPort, port, ...rest } = yield* settings
  if (Option.isNone(host) && Option.isNone(listenHost)) {
    yield* Effect.logWarning(
      "only processes of this machine can join this one: for a cluster over several machines, set RUNNER_HOST to " +
        "an address at which the others reach it"
    )
  }
  const listensOn = Option.getOrElse(listenHost, () => Option.getOrElse(host, () => "127.0.0.1"))
  const listensAt = yield* Option.match(
    Option.orElse(listenPort, () => port),
    {
      onNone: () => freePort(listensOn),
      onSome: Effect.succeed
    }
  )
  return {
    ...rest,
    // Messages to the process itself are not encoded.
    simulateRemoteSerialization: false,
    runnerAddress: Option.some(
      RunnerAddress.make(
        Option.getOrElse(host, () => listensOn),
        Option.getOrElse(port, () => listensAt)
      )
    ),
    runnerListenAddress: Option.some(RunnerAddress.make(listensOn, listensAt))
  } satisfies Partial<Context.Service.Shape<typeof ShardingConfig.ShardingConfig>>
})

/** Joins the cluster until the scope closes. */
export const layer: Layer.Layer<
  Sharding.Sharding,
  StoreError | SocketServer.SocketServerError | Config.ConfigError,
  SqlClient.SqlClient
> = Layer.unwrap(
  Effect.map(sharding, (shardingConfig) =>
    NodeClusterSocket.layer({ storage: "byo", shardingConfig }).pipe(
      Layer.provide(MessageStorage.layerNoop),
      Layer.provide(Layer.orDie(SqlRunnerStorage.layer)),
      Layer.provide(ShardingConfig.layerFromEnv(shardingConfig))
    )
  )
)
