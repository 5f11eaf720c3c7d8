/** Creates folders. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { codeOf } from "./SystemErrors.ts"

const isFolder = (path: string): Promise<boolean> =>
  Fs.stat(path).then(
    (stat) => stat.isDirectory(),
    () => false
  )

/**
 * Creates a folder and its missing parents, one after the other. Does nothing if the folder exists. Node's own
 * recursive `mkdir` never returns if an existing folder refuses a new one with ENOENT, as in `/proc`.
 */
export const create = async (folder: string, mode = 0o777): Promise<void> => {
  if (await isFolder(folder)) return
  const parent = Path.dirname(folder)
  if (parent !== folder) await create(parent, mode)
  try {
    await Fs.mkdir(folder, { mode })
  } catch (cause) {
    const code = codeOf(cause)
    if (code === "ENOENT") throw new Error(`no folder can be created in ${parent}`, { cause })
    if (code !== "EEXIST") throw cause
    if (!(await isFolder(folder))) throw new Error(`${folder} is not a folder`, { cause })
  }
}
