/** The steps that listings are made of. */
import * as Effect from "effect/Effect"
import type * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import type * as Ref from "effect/Ref"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import { Forbidden, IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import type { Api } from "./Api.ts"
import type { Filter } from "./Config.ts"
import type { HistoryRecord } from "./Resources.ts"
import type { Checkpoint, Live } from "./Checkpoint.ts"
import type { Scope } from "./HistoryChanges.ts"
import type { Cursor, Walk } from "./LabelCursor.ts"

/** The most refused page tokens in one call of `list`: a server that refuses all of them ends the listing. */
const maxRefused = 3

/** The source to list, and how the history shows the scope's labels. */
export interface Source {
  readonly api: Api
  readonly filter: Filter
  readonly scope: Scope
  /** New messages of the history whose download has not begun. Bounded by one slice. */
  readonly arrivals: Ref.Ref<HashSet.HashSet<string>>
}

export type Failure = IntegrationError | ContentExistenceCheckerError

/** Pages to give, and the state to go on from. The checker must see a page's downloads before it is asked again. */
export type StepResult<S> = readonly [ReadonlyArray<Page<Checkpoint>>, Option.Option<S>]
export type Step<S> = Effect.fn.Return<StepResult<S>, Failure, ContentExistenceChecker>

export const next = <S>(pages: ReadonlyArray<Page<Checkpoint>>, state: S): StepResult<S> => [pages, Option.some(state)]

export const done = (pages: ReadonlyArray<Page<Checkpoint>>): StepResult<never> => [pages, Option.none()]

/** Google answers 400 to a page token that it no longer takes; 404 is taken for the same. */
export const tokenRefused = (error: IntegrationError): boolean =>
  error.reason._tag === "Malformed" || error.reason._tag === "Gone"

/** Goes on from a state without the refused token, a bounded number of times. */
export const refused = <S extends { readonly refused: number }>(
  state: S
): Effect.Effect<StepResult<S>, IntegrationError> =>
  state.refused < maxRefused
    ? Effect.succeed(next([], { ...state, refused: state.refused + 1 }))
    : Effect.fail(
        new IntegrationError({
          reason: new Transient({
            message: "Gmail refuses the page tokens that it has just given: the next poll tries again"
          })
        })
      )

/** A listing that is refused as such (a label that isn't there, a query that can't be read) is no bad item. */
export const listingError = (error: IntegrationError): IntegrationError =>
  error.reason._tag === "Malformed"
    ? new IntegrationError({ reason: new Forbidden({ message: error.reason.message }) })
    : error

/** Where a live listing is, in one call of `list`. */
export interface State {
  readonly checkpoint: Live
  readonly stage: Stage
  /** A pass was begun or taken up in this call. */
  readonly hasPassed: boolean
  /** The ids of the pass's page before, in this call: where pages shift, they are shown again. */
  readonly before: ReadonlySet<string>
  readonly refused: number
  /** The list of chats beside the pass, once it was opened in this call. */
  readonly chats?: Cursor | undefined
}

/** The last page of a pass, kept until the history has been read. */
type LastPage = ReadonlyArray<string>

export type Stage =
  /** Reads the next page of the history: the one that the checkpoint's `reading` names, else the first. */
  | { readonly _tag: "History"; readonly lastPage?: LastPage | undefined }
  /** The records of a page of the history, in pieces; then the reading goes on with `pageToken`, or ends. */
  | {
      readonly _tag: "Changes"
      readonly chunks: ReadonlyArray<ReadonlyArray<HistoryRecord>>
      readonly pageToken: string | undefined
      readonly until: string
      readonly lastPage: LastPage | undefined
    }
  | { readonly _tag: "Pass" }
  /** The last page of a pass, the history after it having been read. */
  | { readonly _tag: "End"; readonly lastPage: LastPage }
  | { readonly _tag: "Labels"; readonly walk?: Walk | undefined }
