/** Which integrations there are. The composition root gives them; they are loaded when a connection needs them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Integration } from "../contract/Integration.ts"
import { UsageError } from "./Engine.ts"

export class Integrations extends Context.Service<
  Integrations,
  {
    readonly domains: ReadonlyArray<string>
    readonly get: (domain: string) => Effect.Effect<Integration, UsageError>
  }
>()("idem/engine/Integrations") {
  /** From loaders by domain. A loader runs once, when its domain is first asked for. */
  static readonly layer = (loaders: Readonly<Record<string, Effect.Effect<Integration>>>): Layer.Layer<Integrations> =>
    Layer.effect(
      Integrations,
      Effect.gen(function* () {
        const cached = new Map<string, Effect.Effect<Integration>>()
        for (const [domain, load] of Object.entries(loaders)) cached.set(domain, yield* Effect.cached(load))
        const domains = [...cached.keys()].toSorted()
        return {
          domains,
          get: (domain) =>
            cached.get(domain) ??
            Effect.fail(
              new UsageError({
                message: `there is no integration ${JSON.stringify(domain)}; known: ${domains.join(", ")}`
              })
            )
        }
      })
    )
}
