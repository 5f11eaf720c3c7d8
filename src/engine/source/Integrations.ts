/**
 * The registry of integrations. The composition root provides it; an integration is loaded when a connection needs it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Integration } from "../../contract/Integration.ts"
import { UsageError } from "../Engine.ts"
import * as MessageText from "../MessageText.ts"

/**
 * The error for an unknown domain. It does not repeat text that is not a name, because it may be a misplaced secret.
 */
const unknown = (domain: string, domains: ReadonlyArray<string>): string => {
  const isName = /^[a-z][a-z0-9-]{0,40}$/.test(domain)
  const meant = isName ? MessageText.nearest(domain, domains) : undefined
  const named = isName ? ` "${domain}"` : " of this name"
  const hint = meant === undefined ? "" : `did you mean ${meant}? `
  return `there is no integration${named}; ${hint}there are: ${domains.join(", ")} (your own are listed in idem.config.ts, or in the option integrations of createIdem)`
}

export class Integrations extends Context.Service<
  Integrations,
  {
    readonly domains: Effect.Effect<ReadonlyArray<string>, UsageError>
    readonly get: (domain: string) => Effect.Effect<Integration, UsageError>
  }
>()("idem/engine/source/Integrations") {
  /**
   * Makes a registry from loaders by domain, and from `added` integrations, which replace loaders of the same domain. A
   * loader runs once, when its domain is first needed. `added` runs once, when any integration is needed.
   */
  static readonly layer = (
    loaders: Readonly<Record<string, Effect.Effect<Integration>>>,
    added: Effect.Effect<ReadonlyArray<Integration>, UsageError> = Effect.succeed([])
  ): Layer.Layer<Integrations> =>
    Layer.effect(
      Integrations,
      Effect.gen(function* () {
        const cached = new Map<string, Effect.Effect<Integration>>()
        for (const [domain, load] of Object.entries(loaders)) cached.set(domain, yield* Effect.cached(load))
        const all = yield* Effect.cached(
          Effect.map(
            added,
            (integrations) =>
              new Map([...cached, ...integrations.map((each) => [each.domain, Effect.succeed(each)] as const)])
          )
        )
        const domains = Effect.map(all, (known) => [...known.keys()].toSorted())
        return {
          domains,
          get: Effect.fnUntraced(function* (domain) {
            const found = (yield* all).get(domain)
            if (found !== undefined) return yield* found
            return yield* new UsageError({ message: unknown(domain, yield* domains) })
          })
        }
      })
    )
}
