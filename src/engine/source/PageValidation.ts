/** Checks each page that an integration emits: its shape, its bounds, and that it can be stored. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { externalIdProblem, type Ref } from "../../contract/Content.ts"
import type { AnySession } from "../../contract/Integration.ts"
import { maxCheckpointBytes, maxPageRefs, type Page } from "../../contract/Page.ts"
import { maxPartBytes, maxParts, type PartMove } from "../../contract/Parts.ts"
import * as SessionValues from "../../contract/SessionValues.ts"
import * as JsonLength from "../JsonLength.ts"
import * as MessageText from "../MessageText.ts"

const bytesOf = (checkpoint: Schema.Json): number => Buffer.byteLength(JSON.stringify(checkpoint))

const partProblem = ({ checkpoint, key }: PartMove<Schema.Json>): string | undefined => {
  const problem = externalIdProblem(key, "the key of a part: it")
  const bytes = bytesOf(checkpoint)
  return problem !== undefined
    ? problem
    : bytes > maxPartBytes
      ? `the checkpoint of part ${JSON.stringify(key)} has ${bytes} bytes, more than ${maxPartBytes}`
      : undefined
}

const isTextOrAbsent = (value: unknown): boolean => value === undefined || typeof value === "string"
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(Predicate.isString)

/** Returns why a ref can't be used; undefined if it can. The metadata of a copy is checked with its item. */
const refProblem = (ref: Ref | undefined): string | undefined => {
  if (!Predicate.isObject(ref) || typeof ref.externalId !== "string") return "an external id must be a text"
  if (!isTextOrAbsent(ref.revision)) return "a revision must be a text, or absent"
  const { copy } = ref
  return copy === undefined || (Predicate.isObject(copy) && typeof copy.bodyKey === "string")
    ? undefined
    : "the `bodyKey` of a `copy` must be a text"
}

/** Returns why this value can't be stored as an object of JSON values; undefined if it can. */
const jsonProblem = (name: string, json: unknown): string | undefined =>
  Result.match(JsonLength.of(name, json), { onFailure: (problem) => problem, onSuccess: () => undefined })

const patchProblem = (patch: unknown): string | undefined => {
  if (!Predicate.isObject(patch) || typeof patch.externalId !== "string") return "an external id must be a text"
  const problem = isTextOrAbsent(patch.revision)
    ? jsonProblem("metadata", patch.metadata)
    : "a revision must be a text, or absent"
  return problem === undefined ? undefined : `the patch of ${MessageText.quoted(patch.externalId)}: ${problem}`
}

const coverageProblem = (coverage: unknown): string | undefined => {
  if (!Predicate.isObject(coverage) || typeof coverage.prefix !== "string") return "`prefix` must be a text"
  return coverage.except === undefined || isTexts(coverage.except)
    ? undefined
    : "`except` must be an array of texts, or absent"
}

const optionalArrays = ["deleted", "patches", "problems", "covers"] as const

/** Returns why an element of an optional field can't be used; undefined if it can. */
const elementProblems: Readonly<Record<(typeof optionalArrays)[number], (element: unknown) => string | undefined>> = {
  deleted: (id) => (typeof id === "string" ? undefined : "an external id must be a text"),
  patches: patchProblem,
  problems: (problem) =>
    Predicate.isObject(problem) && typeof problem.place === "string" && typeof problem.message === "string"
      ? undefined
      : "`place` and `message` must be texts",
  covers: coverageProblem
}

/** Returns why an optional field of the page can't be used; undefined if all can. */
const optionalProblem = (page: Page<Schema.Json>): string | undefined => {
  const { complete, listing, remaining } = page
  if (!isTextOrAbsent(listing)) return "`listing` must be a text, or absent"
  if (complete !== undefined && typeof complete !== "boolean") return "`complete` must be true or false, or absent"
  if (remaining !== undefined && !(Number.isFinite(remaining) && remaining >= 0)) {
    return "`remaining` must be a number from 0, or absent"
  }
  for (const name of optionalArrays) {
    const elements: unknown = page[name]
    if (elements === undefined) continue
    if (!Array.isArray(elements)) return `\`${name}\` must be an array, or absent`
    const found = elements.map(elementProblems[name]).find(Predicate.isNotUndefined)
    if (found !== undefined) return `in \`${name}\`: ${found}`
  }
  return undefined
}

/**
 * Returns why this page can't be used, which is a fault in the integration; undefined if it can. An id that can't be
 * stored is not a fault of the page, but a problem of the run.
 */
const problem = (page: Page<Schema.Json>): string | undefined => {
  const { complete, covers = [], download, listed, listing, parts = [] } = page
  for (const [name, refs] of Object.entries({ listed, download })) {
    if (!Array.isArray(refs)) return `\`${name}\` must be an array of refs`
    if (refs.length > maxPageRefs) return `\`${name}\` has ${refs.length} refs, more than ${maxPageRefs}`
    const found = refs.map(refProblem).find(Predicate.isNotUndefined)
    if (found !== undefined) return `in \`${name}\`: ${found}`
  }
  const optional = optionalProblem(page)
  if (optional !== undefined) return optional
  if (listing === undefined && (covers.length > 0 || complete === true)) {
    return "`covers` and `complete` need `listing`: the same text on each page of one pass, and a new one for the next"
  }
  const { checkpoint } = page
  const json = checkpoint === undefined ? "`checkpoint` is absent" : jsonProblem("page", { checkpoint })
  if (json !== undefined) return json
  const bytes = bytesOf(checkpoint)
  if (bytes > maxCheckpointBytes) return `the checkpoint has ${bytes} bytes, more than ${maxCheckpointBytes}`
  if (parts.length > maxParts) return `${parts.length} parts are moved, more than ${maxParts}`
  return parts.map(partProblem).find(Predicate.isNotUndefined)
}

/** Returns the session with a listing that fails at the first page that can't be used. */
export const checked = (session: AnySession, domain: string): AnySession => ({
  ...session,
  list: (task, checkpoint, parts) =>
    Stream.mapEffect(session.list(task, checkpoint, parts), (page, index) => {
      const found = problem(page)
      return found === undefined
        ? Effect.succeed(page)
        : Effect.fail(SessionValues.malformed(`${domain}, page ${index + 1}: ${found}`))
    })
})
