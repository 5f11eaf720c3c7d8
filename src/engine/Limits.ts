/** The bounds of a run, with their reasons. Tests and embedders replace them as a whole. */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DurationSetting from "./DurationSetting.ts"

const mebibyte = 1024 * 1024

export interface Limits {
  /** A slice ends after this time or this number of pages, so that a backfill never delays new content. */
  readonly sliceTime: Duration.Duration
  readonly slicePages: number
  /**
   * A batch is committed when it reaches this number of items, bytes of bodies and metadata, or age. While a commit is
   * in flight, the next batch gathers up to `groupItems` items, or `batchBytes`. A crash loses at most the commit in
   * flight and one such batch.
   */
  readonly batchItems: number
  readonly groupItems: number
  readonly batchBytes: number
  readonly batchAge: Duration.Duration
  /** Downloads in flight. Multiplied by `inlineBytes`, this bounds the bodies in memory. */
  readonly concurrency: number
  /** A body up to this size is held in memory and stored beside its row; a larger one is streamed to the blob store. */
  readonly inlineBytes: number
  /** A larger body is `TooLarge`, so that an endless body does not fill the disk. */
  readonly bodyBytes: number
  /** The longest wait for the next bytes of a body. */
  readonly chunkTimeout: Duration.Duration
  /** How long a lease lasts without a renewal. It is renewed three times within that time. */
  readonly leaseTtl: Duration.Duration
  /** The longest wait that a source may ask for. */
  readonly longestRetryAfter: Duration.Duration
  /** A run that makes no progress for this long is ended. */
  readonly stallAfter: Duration.Duration
  /** After this number of `Transient` failures in a row, the engine treats the source as down. */
  readonly downAfter: number
  /**
   * A run stops after this number of failed items, if they also exceed this share of all items: then the source is at
   * fault.
   */
  readonly abortAfter: number
  readonly abortShare: number
  /** Ledger rows that one slice retries. */
  readonly retries: number
  /**
   * Staged deletions are applied up to this number, or up to this share of what is stored. More than that are held
   * until a person approves them.
   */
  readonly deletions: number
  readonly deletionShare: number
  /**
   * The delay after a slice that lists only what earlier slices listed. It doubles with each such slice in a row, up to
   * a minute.
   */
  readonly repeatDelay: Duration.Duration
  /** How long an unfinished task can be resumed by the same command. */
  readonly resumeWithin: Duration.Duration
}

export const Limits = Context.Reference<Limits>("idem/engine/Limits", {
  defaultValue: () => ({
    sliceTime: Duration.seconds(60),
    slicePages: 20,
    batchItems: 100,
    groupItems: 1000,
    batchBytes: 8 * mebibyte,
    batchAge: Duration.seconds(5),
    concurrency: 8,
    inlineBytes: 4 * mebibyte,
    bodyBytes: 5 * 1024 * mebibyte,
    chunkTimeout: Duration.minutes(1),
    leaseTtl: Duration.seconds(30),
    longestRetryAfter: Duration.days(1),
    stallAfter: Duration.minutes(10),
    downAfter: 5,
    abortAfter: 50,
    abortShare: 0.5,
    retries: 500,
    deletions: 100,
    deletionShare: 0.2,
    repeatDelay: Duration.seconds(1),
    resumeWithin: Duration.days(1)
  })
})

/** Provides the defaults, with `IDEM_LONGEST_RETRY_AFTER` from the environment. */
export const layer: Layer.Layer<never, Config.ConfigError> = Layer.effect(
  Limits,
  Effect.gen(function* () {
    const limits = yield* Limits
    const longestRetryAfter = yield* DurationSetting.make("IDEM_LONGEST_RETRY_AFTER", {
      standard: limits.longestRetryAfter,
      least: Duration.minutes(1),
      most: Duration.days(30)
    })
    return { ...limits, longestRetryAfter }
  })
)
