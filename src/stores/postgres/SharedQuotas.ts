/**
 * The quotas that all processes of a database share: the RateLimiterStore of `effect/persistence` over PostgreSQL. Each
 * call is one statement, so one round trip, and uses only the database's clock, so that differing clocks of processes
 * do not matter.
 *
 * The tables are unlogged: after a crash of the server the buckets are full again, with one second's worth, the counts
 * of a day begin again, and cool-downs are lost until the source asks for them again.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"

/**
 * How long an adaptive state is kept after its last use, and the longest cool-down after a refusal, in milliseconds.
 */
const grace = 60_000
const longest = 3_600_000

const decodePair = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ first: Schema.Finite, second: Schema.Finite })])
)

const decodeAdaptive = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({
      phase: Schema.Literals(["inactive", "cooldown", "learning", "learned"]),
      epoch: Schema.Finite,
      delay: Schema.Finite
    })
  )
)

const failed =
  (doing: string) =>
  <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, RateLimiter.RateLimiterError> =>
    Effect.mapError(
      effect,
      (cause) =>
        new RateLimiter.RateLimiterError({
          reason: new RateLimiter.RateLimitStoreError({ message: `${doing} failed in the database`, cause })
        })
    )

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const number = PgTypes.float8
  /** The database's clock in milliseconds. In a subquery, it is evaluated once. */
  const clock = sql.literal("extract(epoch FROM clock_timestamp())::float8 * 1000")

  return RateLimiter.RateLimiterStore.of({
    // A statement that waited for the row's lock has an older time than the row, so the later time is used.
    tokenBucket: ({ allowOverflow, key, limit, refillRate, tokens }) =>
      sql`INSERT INTO rate_limit_bucket AS bucket (key, tokens, refilled_at, asked_at, remaining)
        SELECT ${key}, CASE WHEN ${allowOverflow} OR ${number(limit)} >= ${number(tokens)}
            THEN ${number(limit)} - ${number(tokens)} ELSE ${number(limit)} END,
          now, now, ${number(limit)} - ${number(tokens)}
        FROM (SELECT ${clock} AS now) AS time
        ON CONFLICT (key) DO UPDATE SET (tokens, refilled_at, asked_at, remaining) = (
          SELECT CASE WHEN ${allowOverflow} OR filled >= ${number(tokens)} THEN filled - ${number(tokens)} ELSE filled END,
            CASE WHEN filled >= ${number(limit)} THEN now
              ELSE bucket.refilled_at + refilled * ${number(Duration.toMillis(refillRate))} END,
            now, filled - ${number(tokens)}
          FROM (SELECT greatest(excluded.asked_at, bucket.asked_at) AS now) AS time
          CROSS JOIN LATERAL (
            SELECT greatest(0, floor((now - bucket.refilled_at) / ${number(Duration.toMillis(refillRate))})) AS refilled
          ) AS refill
          CROSS JOIN LATERAL (
            SELECT CASE WHEN refilled > 0 THEN least(${number(limit)}, bucket.tokens + refilled)
              ELSE bucket.tokens END AS filled
          ) AS fill)
        RETURNING remaining AS first, greatest(0, asked_at - refilled_at) AS second`.pipe(
        Effect.flatMap(decodePair),
        Effect.map(([{ first, second }]) => [first, second] as const),
        failed("taking a quota")
      ),

    fixedWindow: ({ key, limit, refillRate, tokens }) =>
      sql`INSERT INTO rate_limit_window AS counter (key, count, expires_at, asked_at, answer)
        SELECT ${key}, CASE WHEN fits THEN ${number(tokens)} ELSE 0 END,
          now + CASE WHEN fits THEN ${number(tokens * Duration.toMillis(refillRate))} ELSE 0 END, now, ${number(tokens)}
        FROM (SELECT ${clock} AS now, coalesce(${number(tokens)} <= ${number(limit ?? null)}, true) AS fits) AS time
        ON CONFLICT (key) DO UPDATE SET (count, expires_at, asked_at, answer) = (
          SELECT CASE WHEN fits THEN counted + ${number(tokens)} ELSE counted END,
            CASE WHEN fits THEN until + ${number(tokens * Duration.toMillis(refillRate))} ELSE until END,
            now, counted + ${number(tokens)}
          FROM (SELECT greatest(excluded.asked_at, counter.asked_at) AS now) AS time
          CROSS JOIN LATERAL (
            SELECT CASE WHEN counter.expires_at <= now THEN 0 ELSE counter.count END AS counted,
              CASE WHEN counter.expires_at <= now THEN now ELSE counter.expires_at END AS until
          ) AS current
          CROSS JOIN LATERAL (
            SELECT coalesce(counted + ${number(tokens)} <= ${number(limit ?? null)}, true) AS fits
          ) AS room)
        RETURNING answer AS first, greatest(0, expires_at - asked_at) AS second`.pipe(
        Effect.flatMap(decodePair),
        Effect.map(([{ first, second }]) => [first, second] as const),
        failed("taking a quota")
      ),

    // No row means that the source has not asked to wait, and nothing is written.
    adaptiveConsume: ({ fallbackWindow, key, tokens }) =>
      sql`UPDATE rate_limit_adaptive AS state SET
          (phase, epoch, cooldown_until, learning_started_at, observed, expires_at, delay) = (
            SELECT CASE WHEN waits OR state.phase <> 'cooldown' THEN state.phase ELSE 'learning' END,
              CASE WHEN waits OR state.phase <> 'cooldown' THEN state.epoch ELSE state.epoch + 1 END,
              CASE state.phase WHEN 'learned' THEN until ELSE state.cooldown_until END,
              CASE WHEN state.phase = 'cooldown' AND NOT waits THEN now ELSE state.learning_started_at END,
              CASE WHEN waits THEN state.observed ELSE counted + ${number(tokens)} END,
              CASE WHEN state.phase = 'cooldown' AND NOT waits
                THEN now + ${number(Duration.toMillis(fallbackWindow) + grace)} ELSE state.expires_at END,
              CASE WHEN waits THEN state.cooldown_until - now
                WHEN state.phase = 'learned' THEN greatest(0,
                  floor((counted + ${number(tokens)} - 1) / state.learned_limit) * state.learned_window
                    - ((counted + ${number(tokens)}) * rate - (until - now)))
                ELSE 0 END
            FROM (SELECT state.phase = 'cooldown' AND state.cooldown_until > now AS waits,
              state.phase = 'learned' AND state.cooldown_until <= now AS lapsed,
              CASE WHEN state.phase = 'learned' THEN state.learned_window / state.learned_limit ELSE 0 END AS rate
            ) AS current
            CROSS JOIN LATERAL (
              SELECT CASE WHEN lapsed OR state.phase = 'cooldown' THEN 0 ELSE state.observed END AS counted,
                CASE WHEN lapsed THEN now ELSE state.cooldown_until END + rate * ${number(tokens)} AS until
            ) AS taken)
        FROM (SELECT ${clock} AS now) AS time
        WHERE key = ${key} AND expires_at > now
        RETURNING phase, epoch::float8 AS epoch, delay`.pipe(
        Effect.flatMap(decodeAdaptive),
        Effect.map(([state]) =>
          state === undefined
            ? { delay: Duration.zero, epoch: 0, phase: "inactive" as const }
            : { ...state, delay: Duration.millis(state.delay) }
        ),
        failed("reading how long a source asked to wait")
      ),

    adaptiveFeedback: ({ epoch, key, retryAfter, status, tokens }) => {
      if (status !== 429 || retryAfter === undefined) return Effect.void
      const wait = Math.min(Math.max(Duration.toMillis(retryAfter), 1), longest)
      return sql`INSERT INTO rate_limit_adaptive AS state (key, phase, epoch, cooldown_until, expires_at, asked_at)
        SELECT ${key}, 'cooldown', 0, now + ${number(wait)}, now + ${number(wait + grace)}, now
        FROM (SELECT ${clock} AS now) AS time
        WHERE ${number(epoch)} = 0
          OR EXISTS (SELECT 1 FROM rate_limit_adaptive WHERE key = ${key} AND expires_at > now)
        ON CONFLICT (key) DO UPDATE SET
          (phase, epoch, cooldown_until, learning_started_at, observed, learned_limit, learned_window, expires_at) = (
            SELECT CASE WHEN learns THEN 'learned' ELSE 'cooldown' END,
              CASE WHEN lapsed THEN 0 WHEN learns THEN state.epoch + 1 ELSE state.epoch END,
              CASE WHEN learns THEN state.learning_started_at + span ELSE until END,
              0,
              CASE WHEN learns THEN accepted ELSE 0 END,
              CASE WHEN learns THEN accepted ELSE 0 END,
              CASE WHEN learns THEN span ELSE 0 END,
              CASE WHEN learns THEN excluded.asked_at + span ELSE until END + ${number(grace)}
            FROM (SELECT state.expires_at <= excluded.asked_at AS lapsed, state.observed - ${number(tokens)} AS accepted,
              least(greatest(excluded.asked_at - state.learning_started_at + ${number(wait)}, 1), ${number(longest)}) AS span
            ) AS answer
            CROSS JOIN LATERAL (
              SELECT NOT lapsed AND state.phase = 'learning' AND accepted > 0 AS learns,
                CASE WHEN NOT lapsed AND state.phase = 'cooldown'
                  THEN greatest(state.cooldown_until, excluded.cooldown_until) ELSE excluded.cooldown_until END AS until
            ) AS outcome)
          WHERE (state.expires_at <= excluded.asked_at AND ${number(epoch)} = 0)
            OR (state.expires_at > excluded.asked_at AND state.epoch = ${number(epoch)})`.pipe(
        Effect.asVoid,
        failed("storing how long a source asked to wait")
      )
    }
  })
})

export const layer: Layer.Layer<RateLimiter.RateLimiterStore, never, SqlClient.SqlClient> = Layer.effect(
  RateLimiter.RateLimiterStore,
  make
)
