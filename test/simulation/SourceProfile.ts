import type { Random } from "../chaos/Random.ts"

/** The behaviour of a source, independent of its contents. */
export interface SourceProfile {
  /**
   * `feed`: one pass, then a log of changes. `passes`: one pass in each poll. `parts`: a pass over each folder in each
   * poll.
   */
  readonly mode: "feed" | "passes" | "parts"
  /** `revision` if items change under one id and have revisions; `id` if ids are immutable. */
  readonly by: "id" | "revision"
  /** The order of a pass. With `modified`, an item that changes moves to a later page. */
  readonly order: "id" | "modified"
  readonly pageSize: number
  /** True if a page repeats the last id of the page before, and ids within itself. */
  readonly repeats: boolean
  /** True if deletions are reported even for items that exist again. */
  readonly tellsAll: boolean
  /** True if the pages of a pass report deletions since it began. */
  readonly tellsInPass: boolean
  /** True if labels are reported by patches. */
  readonly labels: boolean
  /** The share of refs that carry their content. */
  readonly inline: number
  /** True if a download returns the revision that it read. */
  readonly revisionWithBytes: boolean
  /** The effect of forgetting a pass: the whole checkpoint expires, or the pass begins again under another name. */
  readonly forgottenPass: "expires" | "renames"
  /**
   * The coverage at the end of a pass: everything, or each folder of the scope. With `none`, absence proves nothing;
   * each page of a pass reports, once, the deletions since the page before.
   */
  readonly coverage: "all" | "folders" | "none"
  /** For how many milliseconds a deleted item can still be downloaded, as from a cache. */
  readonly staleFor: number
  /** The longest usual response time, in milliseconds. */
  readonly latency: number
}

const modes = ["feed", "feed", "passes", "parts"] as const

/** Draws a random profile. */
export const draw = (random: Random, mode = random.pick(modes)): SourceProfile => ({
  mode,
  by: random.pick(["id", "revision"]),
  order: random.pick(["id", "modified"]),
  pageSize: random.between(1, 4),
  repeats: random.chance(0.3),
  tellsAll: random.chance(0.3),
  tellsInPass: random.chance(0.3),
  labels: random.chance(0.5),
  inline: random.pick([0, 0, 0.5]),
  revisionWithBytes: random.chance(0.5),
  forgottenPass: random.pick(["expires", "renames"]),
  coverage: random.pick(mode === "feed" ? ["all", "folders"] : ["all", "folders", "none"]),
  staleFor: random.pick([0, 0, 20_000, 90_000]),
  latency: random.pick([20, 500, 3000])
})
