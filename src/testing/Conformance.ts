/**
 * The laws that every integration must obey, for authors of integrations. Provide a source that you can script (a
 * server on loopback that you control), and run each law as a test:
 *
 * @example
 * describe("my integration", () => {
 *   for (const law of Conformance.laws(scripted)) it.live(law.name, () => law.check)
 * })
 *
 * The failure of a law names the law, and says what to do about it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CallLaws from "./CallLaws.ts"
import * as ChangeLaws from "./ChangeLaws.ts"
import * as CrashLaws from "./CrashLaws.ts"
import * as ForceLaws from "./ForceLaws.ts"
import * as HintLaws from "./HintLaws.ts"
import { type Draft, type Law, LawBroken, type ScriptedSource } from "./Law.ts"
import * as PageLaws from "./PageLaws.ts"
import * as ProjectionLaws from "./ProjectionLaws.ts"

export type { Law, LawBroken, ScriptedSource } from "./Law.ts"

/**
 * Returns the laws for this source, each with a fresh source made by `make`. `without` names abilities that the source
 * lacks: the laws that need them are left out.
 */
export const laws = (
  make: Effect.Effect<ScriptedSource, never, Scope.Scope>,
  options: { readonly without?: ReadonlyArray<keyof ScriptedSource> } = {}
): ReadonlyArray<Law> =>
  drafts
    .filter((draft) => !draft.needs.some((need) => options.without?.includes(need)))
    .map((draft) => ({
      name: draft.name,
      check: Effect.flatMap(make, (source) => {
        const missing = draft.needs.filter((need) => source[need] === undefined)
        return missing.length > 0
          ? Effect.fail(`the source does not give ${missing.join(", ")}: name it in \`without\``)
          : draft.check(source)
      }).pipe(
        Effect.scoped,
        Effect.mapError((found) =>
          typeof found === "string"
            ? new LawBroken({ law: draft.name, found, remedy: draft.remedy })
            : new LawBroken({ law: draft.name, found: found.found, remedy: "" })
        )
      )
    }))

const drafts: ReadonlyArray<Draft> = [
  ...ChangeLaws.drafts,
  ...ForceLaws.drafts,
  ...CrashLaws.drafts,
  ...PageLaws.drafts,
  ...ProjectionLaws.drafts,
  ...CallLaws.drafts,
  ...HintLaws.drafts
]
