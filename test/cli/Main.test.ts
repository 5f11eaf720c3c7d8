/** Tests that `src/main.ts` chooses between the two command lines of a package (see `.ci/build.ts`). */
import { assert, describe, it } from "vitest"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { inFolder, repository } from "../support/IdemProcess.ts"

/** Makes a package whose command lines print their names. */
const makePackage = (folder: string): string => {
  const write = (path: string, text: string) => {
    const file = Path.join(folder, path)
    Fs.mkdirSync(Path.dirname(file), { recursive: true })
    Fs.writeFileSync(file, text)
    return file
  }
  write("package.json", `{ "type": "module" }`)
  write("chunks/print-ABCDEFGH.js", `export const print = (text) => console.log(text)`)
  write("src/cli/Main.ts", `console.log("shares effect")`)
  write("src/cli/Closed.js", `import { print } from "../../chunks/print-ABCDEFGH.js"\nprint("has effect inside")`)
  return write("src/main.ts", Fs.readFileSync(Path.join(repository, "src/main.ts"), "utf8"))
}

describe("the command line of a package", () => {
  it("shares effect with the integrations of a config file, and has it inside where there is none", () =>
    inFolder(async (folder) => {
      const main = makePackage(Path.join(folder, "package"))
      const started = (args: ReadonlyArray<string>, env: Record<string, string> = {}): string => {
        const { stderr, stdout } = spawnSync(process.execPath, [main, ...args], {
          cwd: folder,
          env: { PATH: process.env["PATH"], ...env },
          encoding: "utf8"
        })
        assert.strictEqual(stderr, "")
        return stdout.trim()
      }
      assert.strictEqual(started(["status"]), "has effect inside")
      assert.strictEqual(started(["status"], { IDEM_CONFIG: "elsewhere.ts" }), "shares effect")
      Fs.writeFileSync(Path.join(folder, "idem.config.ts"), "export default { integrations: [] }")
      assert.strictEqual(started(["status"]), "shares effect")
      // These commands read no config file.
      assert.strictEqual(started(["--help"]), "has effect inside")
      assert.strictEqual(started(["--version"]), "has effect inside")
      // The source may be an integration in the config file.
      assert.strictEqual(started(["connect", "github", "--help"]), "shares effect")
    }))
})
