import { assert, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Folders from "../../src/engine/Folders.ts"
import { inFolder } from "../support/IdemProcess.ts"

it("a folder is created with the missing folders above it, and may be there already", () =>
  inFolder(async (folder) => {
    const deep = Path.join(folder, "a", "b")
    await Promise.all([Folders.create(deep, 0o700), Folders.create(deep, 0o700)])
    await Folders.create(deep)
    for (const made of [deep, Path.dirname(deep)]) assert.strictEqual(Fs.statSync(made).mode & 0o777, 0o700)
    await Folders.create("/")
  }))

it("where no folder can be created, the error names the place", () =>
  inFolder(async (folder) => {
    const [file, link] = [Path.join(folder, "file"), Path.join(folder, "link")]
    Fs.writeFileSync(file, "")
    Fs.symlinkSync(Path.join(folder, "nothing"), link)
    const impossible: ReadonlyArray<readonly [string, string]> = [
      [file, `${file} is not a folder`],
      [Path.join(file, "deeper"), `${file} is not a folder`],
      [Path.join(link, "deeper"), `${link} is not a folder`],
      ...(process.platform === "linux" ? [["/proc/nope/deeper", "no folder can be created in /proc"] as const] : [])
    ]
    for (const [target, message] of impossible) {
      const error = await Folders.create(target).then(
        () => undefined,
        (cause: Error) => cause
      )
      assert.strictEqual(error?.message, message, target)
    }
  }))
