/** The steps of which listings consist. */
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

/** The most refused page tokens in one call of `list`. If a server refuses all of them, the listing ends. */
const maxRefused = 3

/** The source to list, and how the history shows the labels of the scope. */
export interface Source {
  readonly api: Api
  readonly filter: Filter
  readonly scope: Scope
  /** New messages of the history whose download has not begun. Bounded by one slice. */
  readonly arrivals: Ref.Ref<HashSet.HashSet<string>>
}

export type Failure = IntegrationError | ContentExistenceCheckerError

/** The pages to emit, and the next state. The checker must see a page's downloads before it is asked again. */
export type StepResult<S> = readonly [ReadonlyArray<Page<Checkpoint>>, Option.Option<S>]
export type Step<S> = Effect.fn.Return<StepResult<S>, Failure, ContentExistenceChecker>

export const next = <S>(pages: ReadonlyArray<Page<Checkpoint>>, state: S): StepResult<S> => [pages, Option.some(state)]

export const done = (pages: ReadonlyArray<Page<Checkpoint>>): StepResult<never> => [pages, Option.none()]

/**
 * Returns true if a page token was refused: Google answers 400 to a token that it no longer accepts; 404 counts as the
 * same.
 */
export const tokenRefused = (error: IntegrationError): boolean =>
  error.reason._tag === "Malformed" || error.reason._tag === "Gone"

/** Continues without the refused token, a bounded number of times. */
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

/**
 * Converts an error that refuses the whole listing (a label that does not exist, an invalid query): it is not an error
 * of one item.
 */
export const listingError = (error: IntegrationError): IntegrationError =>
  error.reason._tag === "Malformed"
    ? new IntegrationError({ reason: new Forbidden({ message: error.reason.message }) })
    : error

/** The state of a live listing during one call of `list`. */
export interface State {
  readonly checkpoint: Live
  readonly stage: Stage
  /** True if a pass was begun or resumed in this call. */
  readonly hasPassed: boolean
  /** The ids of the pass's previous page in this call: if pages shift, these ids are listed again. */
  readonly before: ReadonlySet<string>
  readonly refused: number
  /** The list of chats, which is read in parallel with the pass, once it was opened in this call. */
  readonly chats?: Cursor | undefined
}

/** The last page of a pass, which is held until the history has been read. */
type LastPage = ReadonlyArray<string>

export type Stage =
  /** Reads the next page of the history: the page named by the checkpoint's `reading`, or else the first. */
  | { readonly _tag: "History"; readonly lastPage?: LastPage | undefined }
  /** Emits the records of a page of the history in pieces; then the reading continues with `pageToken`, or ends. */
  | {
      readonly _tag: "Changes"
      readonly chunks: ReadonlyArray<ReadonlyArray<HistoryRecord>>
      readonly pageToken: string | undefined
      readonly until: string
      readonly lastPage: LastPage | undefined
    }
  | { readonly _tag: "Pass" }
  /** Emits the last page of a pass, after the history was read. */
  | { readonly _tag: "End"; readonly lastPage: LastPage }
  | { readonly _tag: "Labels"; readonly walk?: Walk | undefined }
