/**
 * The paths that a connection's `include` and `exclude` patterns take. Patterns are picomatch's, `*` matches `.x` too.
 */
import picomatch from "picomatch"

export interface Globs {
  /** Whether a file is wanted. */
  readonly takes: (path: string) => boolean
  /** Whether anything below a folder may be wanted: others are not even listed. */
  readonly enters: (folder: string) => boolean
}

const isAtOrBelow = (path: string, folder: string) => folder === "" || path === folder || path.startsWith(`${folder}/`)

/**
 * Without `include` everything is taken. `exclude` is stronger; a pattern that matches a folder leaves out all below
 * it. Patterns match the whole path below the root: `*.csv` is a file in the root, `**` before it is one anywhere.
 */
export const make = (include: ReadonlyArray<string>, exclude: ReadonlyArray<string>): Globs => {
  const options = { dot: true }
  const included = include.length === 0 ? () => true : picomatch([...include], options)
  const excluded = exclude.length === 0 ? () => false : picomatch([...exclude], options)
  // The folder that all matches of a pattern lie in, where the pattern names one.
  const bases = include.map((pattern) => {
    const { base, glob, negated } = picomatch.scan(pattern)
    return negated ? "" : glob === "" ? base.split("/").slice(0, -1).join("/") : base.replace(/^\.$/, "")
  })
  return {
    takes: (path) => included(path) && !excluded(path),
    enters: (folder) =>
      !excluded(folder) &&
      (bases.length === 0 || bases.some((base) => isAtOrBelow(folder, base) || isAtOrBelow(base, folder)))
  }
}
