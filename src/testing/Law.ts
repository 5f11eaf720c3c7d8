/** The laws of integrations, and the scripted source with which they are checked. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Integration } from "../contract/Integration.ts"

/** A law does not hold for this integration. */
export class LawBroken extends Schema.TaggedError<LawBroken>()("LawBroken", {
  law: Schema.String,
  found: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return this.remedy === "" ? `${this.law}: ${this.found}` : `${this.law}: ${this.found}. ${this.remedy}`
  }
}

/**
 * A scripted source. Leave out optional members that the source can't support: the laws that need them are then not
 * checked.
 */
export interface ScriptedSource {
  readonly integration: Integration
  readonly config: unknown
  readonly credentials: unknown
  /**
   * Adds this many items, with times (if any) from 2002 to 2099. Returns the external ids that a full sync then stores
   * for them.
   */
  readonly add: (count: number) => Effect.Effect<ReadonlyArray<string>>
  /** Returns every external id that a full sync stores now. */
  readonly ids: Effect.Effect<ReadonlyArray<string>>
  /** False for an integration that does not use the checker and downloads everything again. */
  readonly usesChecker: boolean
  /** Changes an item's content, under the same id. */
  readonly edit?: (externalId: string) => Effect.Effect<void>
  /** Removes an item at the source. */
  readonly remove?: (externalId: string) => Effect.Effect<void>
  /**
   * Makes the download of an item fail, or succeed again. For sources that list content inline, the item must have a
   * download.
   */
  readonly fail?: (externalId: string, failing: boolean) => Effect.Effect<void>
  /** Returns an id with which `fail` can be used. Default: any id. */
  readonly failable?: Effect.Effect<string>
  /** Makes every checkpoint that was given out so far too old. */
  readonly expire?: Effect.Effect<void>
  /** Makes listings repeat ids from one page to the next. */
  readonly repeat?: Effect.Effect<void>
  /**
   * A config of a narrower scope, which includes some but not all of the items of `add`. `keeps` returns true for
   * included ids.
   */
  readonly narrowed?: { readonly config: unknown; readonly keeps: (externalId: string) => boolean }
  /**
   * The number of requests that the source received, each in a `call` of its own. Without this member, only the use of
   * `call` is checked.
   */
  readonly requests?: Effect.Effect<number>
  /** The number of open connections and handles at the source. */
  readonly open?: Effect.Effect<number>
}

/** A law. Its name is a sentence; its check fails with `LawBroken`. */
export interface Law {
  readonly name: string
  readonly check: Effect.Effect<void, LawBroken>
}

/** The definition of a law: the members of the source that it needs, and its check. */
export interface Draft {
  readonly name: string
  readonly remedy: string
  /** The optional members that the law needs. */
  readonly needs: ReadonlyArray<keyof ScriptedSource>
  /** Checks the law. Fails with a description of what is wrong. */
  readonly check: (source: ScriptedSource) => Effect.Effect<void, Finding, Scope.Scope>
}

/** The integration's own code threw, which is not about the law: its advice does not apply. */
export class Thrown extends Schema.TaggedError<Thrown>()("Thrown", { found: Schema.String }) {}

/** Why a check fails. */
export type Finding = string | Thrown

/** Fails with the finding unless the condition holds. */
export const expect = (holds: boolean, found: string): Effect.Effect<void, string> =>
  holds ? Effect.void : Effect.fail(found)
