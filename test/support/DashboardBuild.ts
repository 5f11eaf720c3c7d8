/** Builds the dashboard's files if their sources have changed, so that the tests use the page of this checkout. */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const builder = Path.join(root, "src/http/dashboard/Build.ts")
const built = Path.join(root, "src/http/dashboard/dist/index.html")

/**
 * Returns when this file, or anything in this folder, was last changed, in milliseconds. Removing a file changes its
 * folder.
 */
export const changedAt = (path: string): number => {
  const info = Fs.statSync(path)
  if (!info.isDirectory()) return info.mtimeMs
  return Math.max(info.mtimeMs, ...Fs.readdirSync(path).map((name) => changedAt(Path.join(path, name))))
}

export const buildIfStale = (): void => {
  const sources = [
    Path.join(root, "src/dashboard"),
    Path.join(root, "src/contract/Form.ts"),
    builder,
    Path.join(root, "package-lock.json")
  ]
  const builtAt = Fs.existsSync(built) ? Fs.statSync(built).mtimeMs : 0
  if (sources.every((path) => changedAt(path) <= builtAt)) return
  const { error, status, stderr } = spawnSync(process.execPath, [builder], { encoding: "utf8" })
  if (error !== undefined) throw error
  if (status !== 0 || !Fs.existsSync(built)) throw new Error(`the dashboard could not be built: ${stderr}`)
}
