import type { Random } from "../chaos/Random.ts"

/** How a source behaves, whatever is in it. */
export interface SourceProfile {
  /**
   * `feed`: one pass, then a log of changes. `passes`: a pass each poll. `parts`: a pass over each folder each poll.
   */
  readonly mode: "feed" | "passes" | "parts"
  /** Whether items change under one id, told by revisions. */
  readonly by: "id" | "revision"
  /** The order of a pass. In that of changes an item that changes moves to a later page. */
  readonly order: "id" | "modified"
  readonly pageSize: number
  /** A page repeats the last id of the page before, and ids within itself. */
  readonly repeats: boolean
  /** Deletions are told although the item is there again by now. */
  readonly tellsAll: boolean
  /** The pages of a pass tell what was deleted since it began. */
  readonly tellsInPass: boolean
  /** Labels are told by patches. */
  readonly labels: boolean
  /** The share of refs that carry their content. */
  readonly inline: number
  /** Whether a download says the revision that it read. */
  readonly revisionWithBytes: boolean
  /**
   * The end of a pass that the source forgot: the whole checkpoint expires, or the pass begins again under another
   * name.
   */
  readonly forgottenPass: "expires" | "renames"
  /**
   * The coverage at the end of a pass: everything, or each folder of the scope. `none`: absence says nothing; each page
   * of a pass tells what was deleted since the page before, once.
   */
  readonly coverage: "all" | "folders" | "none"
  /** For how long what was deleted can still be downloaded, in milliseconds: as from a cache. */
  readonly staleFor: number
  /** The longest usual answer, in milliseconds. */
  readonly latency: number
}

const modes = ["feed", "feed", "passes", "parts"] as const

/** A profile at random. */
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
