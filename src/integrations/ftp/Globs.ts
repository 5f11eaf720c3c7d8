/**
 * The paths that a connection's `include` and `exclude` patterns select. Patterns are picomatch's; `*` also matches
 * names with a leading dot.
 */
import picomatch from "picomatch"

interface Globs {
  /** Returns true if a file is selected. */
  readonly takes: (path: string) => boolean
  /** Returns true if a folder may contain selected files. Other folders are not listed. */
  readonly enters: (folder: string) => boolean
}

const isAtOrBelow = (path: string, folder: string) => folder === "" || path === folder || path.startsWith(`${folder}/`)

/**
 * Compiles the patterns. Without `include`, everything is included. `exclude` takes precedence; a pattern that matches
 * a folder excludes everything below it. Patterns match the whole path below the root: `*.csv` matches files in the
 * root, and `**` before it matches files anywhere.
 */
export const make = (include: ReadonlyArray<string>, exclude: ReadonlyArray<string>): Globs => {
  const options = { dot: true }
  const included = include.length === 0 ? () => true : picomatch([...include], options)
  const excluded = exclude.length === 0 ? () => false : picomatch([...exclude], options)
  // The folder that contains all matches of a pattern, if the pattern names one.
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
