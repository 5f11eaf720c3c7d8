/** Checks each page that an integration emits: its shape, its bounds, and that it can be stored. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { externalIdProblem } from "../../contract/Content.ts"
import type { AnySession } from "../../contract/Integration.ts"
import { IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import { maxCheckpointBytes, maxPageRefs, type Page, type Patch } from "../../contract/Page.ts"
import { maxPartBytes, maxParts, type PartMove } from "../../contract/Parts.ts"
import * as JsonProblem from "../JsonProblem.ts"
import * as MessageText from "../MessageText.ts"

const bytesOf = (checkpoint: Schema.Json): number => Buffer.byteLength(JSON.stringify(checkpoint))

const partProblem = ({ checkpoint, key }: PartMove<Schema.Json>): string | undefined => {
  const problem = externalIdProblem(key)
  const bytes = bytesOf(checkpoint)
  return problem !== undefined
    ? `the key of a part: ${problem.replace("an external id", "it")}`
    : bytes > maxPartBytes
      ? `the checkpoint of part ${JSON.stringify(key)} has ${bytes} bytes, more than ${maxPartBytes}`
      : undefined
}

const patchProblem = ({ externalId, metadata, revision }: Patch): string | undefined => {
  const problem =
    revision === undefined || typeof revision === "string"
      ? JsonProblem.of("metadata", metadata)
      : "a revision must be a text, or absent"
  return problem === undefined ? undefined : `the patch of ${MessageText.quoted(String(externalId))}: ${problem}`
}

/**
 * Returns why this page can't be used, which is a fault in the integration; undefined if it can. An id that can't be
 * stored is not a fault of the page, but a problem of the run.
 */
const problem = (page: Page<Schema.Json>): string | undefined => {
  const { complete, covers = [], download, listed, listing, parts = [], patches = [] } = page
  for (const [name, refs] of Object.entries({ listed, download })) {
    if (!Array.isArray(refs)) return `\`${name}\` must be an array of refs`
    if (refs.length > maxPageRefs) return `\`${name}\` has ${refs.length} refs, more than ${maxPageRefs}`
    if (refs.some((ref) => typeof ref?.externalId !== "string")) return `in \`${name}\`: an external id must be a text`
    if (refs.some(({ revision }) => revision !== undefined && typeof revision !== "string")) {
      return `in \`${name}\`: a revision must be a text, or absent`
    }
  }
  if (listing === undefined && (covers.length > 0 || complete === true)) {
    return "`covers` and `complete` need `listing`: the same text on each page of one pass, and a new one for the next"
  }
  const bytes = bytesOf(page.checkpoint)
  if (bytes > maxCheckpointBytes) return `the checkpoint has ${bytes} bytes, more than ${maxCheckpointBytes}`
  if (parts.length > maxParts) return `${parts.length} parts are moved, more than ${maxParts}`
  const found = parts.map(partProblem).find((each) => each !== undefined)
  return found ?? patches.map(patchProblem).find((each) => each !== undefined)
}

/** Returns the session with a listing that fails at the first page that can't be used. */
export const checked = (session: AnySession, domain: string): AnySession => ({
  ...session,
  list: (task, checkpoint, parts) =>
    Stream.mapEffect(session.list(task, checkpoint, parts), (page, index) => {
      const found = problem(page)
      return found === undefined
        ? Effect.succeed(page)
        : Effect.fail(
            new IntegrationError({ reason: new Malformed({ message: `${domain}, page ${index + 1}: ${found}` }) })
          )
    })
})
