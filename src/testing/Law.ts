/** The laws of integrations, and the scripted source that they are checked on. */
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
 * A scripted source. Leave optional members out if the source has no such thing: the laws that need them are then not
 * checked.
 */
export interface ScriptedSource {
  readonly integration: Integration
  readonly config: unknown
  readonly credentials: unknown
  /** Adds this many items, with times (if any) from 2002 to 2099, and returns what a full sync then stores for them. */
  readonly add: (count: number) => Effect.Effect<ReadonlyArray<string>>
  /** Every external id that a full sync stores now. */
  readonly ids: Effect.Effect<ReadonlyArray<string>>
  /** False for an integration that opted out of the checker and downloads everything again. */
  readonly usesChecker: boolean
  /** Changes an item's content, under the same id. */
  readonly edit?: (externalId: string) => Effect.Effect<void>
  /** Removes an item at the source. */
  readonly remove?: (externalId: string) => Effect.Effect<void>
  /**
   * Makes the download of an item fail, or heals it. For sources that list content inline: of an item with a download.
   */
  readonly fail?: (externalId: string, failing: boolean) => Effect.Effect<void>
  /** An id that `fail` can be used on; without it any id. */
  readonly failable?: Effect.Effect<string>
  /** Makes every checkpoint given out so far too old. */
  readonly expire?: Effect.Effect<void>
  /** Makes listings repeat ids from one page to the next. */
  readonly repeat?: Effect.Effect<void>
  /** A config of a narrower scope, and which of the ids are in it: of what `add` adds, some and not all. */
  readonly narrowed?: { readonly config: unknown; readonly keeps: (externalId: string) => boolean }
  /**
   * How many requests the source has had, where one of them is one `call`. Without it only their being made is checked.
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

/** The definition of a law: the members of the source that it needs, and a check that fails with what is wrong. */
export interface Draft {
  readonly name: string
  readonly remedy: string
  /** The optional members it needs. */
  readonly needs: ReadonlyArray<keyof ScriptedSource>
  /** Fails with the finding. */
  readonly check: (source: ScriptedSource) => Effect.Effect<void, Finding, Scope.Scope>
}

/** A finding that is not about the law: the integration's own code threw. No remedy of a law mends that. */
export class Thrown extends Schema.TaggedError<Thrown>()("Thrown", { found: Schema.String }) {}

/** Why a check fails. */
export type Finding = string | Thrown

/** The failure of a check, with its finding. */
export const expect = (holds: boolean, found: string): Effect.Effect<void, string> =>
  holds ? Effect.void : Effect.fail(found)
