import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { inFolder, repository, run } from "../support/IdemProcess.ts"
import * as CommandLine from "./CommandLine.ts"

it("idem init from a checkout prints how to install Idem from that checkout", async () => {
  await inFolder(async (folder) => {
    const { stdout } = await run(["init", "notes"], { cwd: folder })
    const version = JSON.parse(Fs.readFileSync(Path.join(repository, "package.json"), "utf8")).version
    assert.include(
      stdout,
      `npm --prefix ${repository} run build && npm pack ${repository}/dist --pack-destination notes`
    )
    assert.include(stdout, `cd notes && npm install ./idem-sync-idem-${version}.tgz && npm test`)
  })
})

const init = (...args: ReadonlyArray<string>) => Effect.runPromise(CommandLine.ofApp()(["init", ...args]))

it("idem init says where it can't make the project's folder", async () => {
  const { code, stderr } = await init("/proc/nope")
  assert.strictEqual(code, 1)
  assert.match(stderr, /^idem: \/proc\/nope\/.+ can't be written: .+\n$/)
})

it("idem init makes projects whose integrations keep the laws at once, and overwrites nothing", async () => {
  await inFolder(async (folder) => {
    for (const [name, packageName, ...flags] of [
      ["my notes", "my-notes"],
      ["my API", "my-api", "--rest"]
    ] as const) {
      const project = Path.join(folder, name)
      const made = await init(project, ...flags, "--json")
      assert.strictEqual(made.code, 0, made.stderr)
      assert.strictEqual(JSON.parse(Fs.readFileSync(Path.join(project, "package.json"), "utf8")).name, packageName)
      assert.strictEqual((await init(project, ...flags)).code, 2)
      const integration = Fs.readFileSync(Path.join(project, "src/notes.ts"), "utf8")
      assert.strictEqual(integration.includes("Idem.rest({"), flags.length > 0)
    }
    // The links that `npm install` creates, for both projects.
    const modules = Path.join(folder, "node_modules")
    Fs.mkdirSync(Path.join(modules, "@idem-sync"), { recursive: true })
    Fs.symlinkSync(repository, Path.join(modules, "@idem-sync/idem"))
    for (const name of ["effect", "@effect", "@types", "typescript", "vitest"]) {
      Fs.symlinkSync(Path.join(repository, "node_modules", name), Path.join(modules, name))
    }
    // The command finds the integration.
    const help = await run(["connect", "notes", "--help"], { cwd: Path.join(folder, "my notes") })
    assert.include(help.stdout, "NOTES: the notes of a server")
    // Only the cheaper laws: `bash .ci/package` runs all of them.
    const laws = ["a sync stores everything", "an edit is seen", "what the source removes", "every request goes"]
    const vitest = Path.join(repository, "node_modules/vitest/vitest.mjs")
    const tested = spawnSync(
      process.execPath,
      [vitest, "run", "--maxWorkers=1", "--no-isolate", "-t", laws.join("|")],
      {
        cwd: folder,
        encoding: "utf8",
        env: { PATH: process.env["PATH"], NO_COLOR: "1" }
      }
    )
    assert.strictEqual(tested.status, 0, tested.stdout + tested.stderr)
    assert.match(tested.stdout, /Tests +8 passed/)
  })
})

it("an integration's config file works in a package as npm init makes it, of the type commonjs", async () => {
  const integration = `import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"
export const mine = Idem.Integration.make({
  domain: "mine", title: "My source", config: Schema.Struct({}), credentials: Schema.Struct({}),
  checkpoint: Schema.String, scope: [], quota: () => ({ unitsPerMinute: 60 }), open: () => Effect.never
})`
  const files = {
    "package.json": JSON.stringify({ name: "plain", version: "1.0.0", type: "commonjs" }),
    "mine.ts": integration,
    "idem.config.ts": `import { defineConfig } from "@idem-sync/idem/contract"
import { mine } from "./mine.ts"
export default defineConfig({ integrations: [mine] })`
  }
  await inFolder(async (folder) => {
    for (const [name, text] of Object.entries(files)) Fs.writeFileSync(Path.join(folder, name), text)
    const help = await run(["connect", "mine", "--help"], { cwd: folder })
    assert.strictEqual(help.code, 0, help.stderr)
    assert.include(help.stdout, "MY SOURCE")
  })
})
