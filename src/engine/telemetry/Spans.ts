/**
 * The spans of a run: `run` contains `open`, a `page` for each listed page, a `download` for each item, a `commit` for
 * each batch, and `deletions`; within these, `call …` for each request to the source. Attributes are ids, numbers and
 * outcomes, never a title, a body or a secret.
 *
 * If spans are not collected (`References.TracerEnabled` is false), a step runs without a span, so that an item costs
 * nothing.
 */
import * as Effect from "effect/Effect"
import * as References from "effect/References"

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** Runs a step in a span. `resultAttributes` derives attributes from its result. */
export type SpanStep = <A, E, R>(
  name: string,
  attributes: Attributes,
  step: Effect.Effect<A, E, R>,
  resultAttributes?: (result: A) => Attributes
) => Effect.Effect<A, E, R>

const untraced: SpanStep = (_name, _attributes, step) => step

const traced: SpanStep = (name, attributes, step, resultAttributes) =>
  Effect.withSpan(
    resultAttributes === undefined
      ? step
      : Effect.tap(step, (result) => Effect.annotateCurrentSpan(resultAttributes(result))),
    name,
    { attributes, captureStackTrace: false }
  )

/** The spans of the current run. */
export const make: Effect.Effect<SpanStep> = Effect.map(References.TracerEnabled, (enabled) =>
  enabled ? traced : untraced
)
