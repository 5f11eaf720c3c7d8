import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { UsageError } from "../../src/engine/Engine.ts"
import { github } from "../example/GitHub.ts"
import { inFolder, repository, run, runProgram } from "../support/IdemProcess.ts"
import * as CommandLine from "./CommandLine.ts"

const example = JSON.stringify(Path.join(repository, "test/example/GitHub.ts"))

/** The settings of a command that is not to reach a database. */
const env = { DATABASE_URL: "postgresql://me@127.0.0.1:1/idem", IDEM_SECRET_KEY: "00".repeat(32) }

/** Broken config files, and the messages about them. */
const broken: ReadonlyArray<readonly [why: string, text: string, said: string | RegExp]> = [
  ["nothing in it", "", "its default export has no list of `integrations`"],
  ["no default export", "export const integrations = []", "it has no default export"],
  ["another default export", "export default 1", "its default export has no list of `integrations`"],
  ["an integration alone", `export { github as default } from ${example}`, "has no list of `integrations`"],
  ["a setting that there is not", "export default { integrations: [], plugins: [] }", 'no setting "plugins"'],
  ["text for an integration", `export default { integrations: ["rss"] }`, "integrations[0] is not an integration"],
  [
    "a function",
    "export default { integrations: [() => 1] }",
    "integrations[0] is a function, not an integration: call"
  ],
  [
    "a definition",
    `export default { integrations: [{ domain: "x", open: () => {} }] }`,
    "integrations[0] is not an integration yet: make it with Integration.make"
  ],
  [
    "a domain that nobody could write",
    `import { github } from ${example}\nexport default { integrations: [{ ...github, domain: "R S S" }] }`,
    'integrations[0] has the domain "R S S"'
  ],
  [
    "two of one domain",
    `import { github } from ${example}\nexport default { integrations: [github, { ...github }] }`,
    'integrations[1] has the domain "github", as another has before it'
  ],
  ["a file that it imports and is not there", `import "./Nothing.ts"`, "it can't be loaded: Error: Cannot find module"],
  ["a package that is not installed", `import "left-out"`, "it can't be loaded: Error: Cannot find package 'left-out'"],
  ["what is no TypeScript", "export default {\n  integrations: [\n", /it can't be loaded: SyntaxError: .*/],
  ["what is no JavaScript", "const a = 1\nconst a = 2\n", /it can't be loaded: SyntaxError: .*idem\.config\.ts:2\)/],
  [
    "TypeScript that is not erasable",
    "enum A { B }\nexport default { integrations: [] }",
    "it can't be loaded: SyntaxError"
  ],
  ["a throw", `throw new Error("no key\\nis set")`, "it can't be loaded: Error: no key is set"],
  ["a throw of something else", `throw "away"`, "it can't be loaded: away"]
]

describe("an idem.config.ts that is broken", () => {
  it("is named, with what is wrong with it", () =>
    inFolder(async (folder) => {
      const files = broken.map(([, text], index) => {
        const file = Path.join(folder, String(index), "idem.config.ts")
        Fs.mkdirSync(Path.dirname(file))
        Fs.writeFileSync(file, text)
        return file
      })
      const { stderr, stdout } = await runProgram("test/cli/loadConfigs.ts", files)
      const messages = stdout.split("\n").slice(0, -1)
      assert.strictEqual(messages.length, broken.length, stderr)
      for (const [index, [why, , said]] of broken.entries()) {
        const message = JSON.parse(messages[index] ?? "")
        assert.isTrue(message.startsWith(`${files[index]}: `), why)
        if (typeof said === "string") assert.include(message, said, why)
        else assert.match(message, said, why)
      }
    }))

  it("is a wrong use, said in one line, and starts nothing", () =>
    inFolder(async (folder) => {
      const file = Path.join(folder, "idem.config.ts")
      Fs.writeFileSync(file, `throw new Error("no key\\nis set")`)
      const { code, stderr, stdout } = await run(["sync", "news", "--json"], { cwd: folder })
      assert.deepStrictEqual([code, stderr], [2, `idem: ${file}: it can't be loaded: Error: no key is set\n`])
      assert.deepStrictEqual(JSON.parse(stdout), { error: { reason: "Usage", message: stderr.slice(6, -1) } })
      assert.deepStrictEqual(Fs.readdirSync(folder), ["idem.config.ts"])
    }))

  it.effect("stops each command that opens sources, and no other", () =>
    Effect.gen(function* () {
      const app = CommandLine.ofApp(Effect.fail(new UsageError({ message: "the file can't be loaded" })))
      for (const args of [["serve"], ["connect", "gmail", "--name", "a"], ["sync", "a"], ["retry", "a"]]) {
        const { code, stderr } = yield* app(args, { env })
        assert.deepStrictEqual([code, stderr], [2, "idem: the file can't be loaded\n"], args.join(" "))
      }
      assert.strictEqual((yield* app(["--help"])).code, 0)
      const status = yield* app(["status"], { env })
      assert.deepStrictEqual([status.code, status.stderr.includes("127.0.0.1:1")], [1, true], status.stderr)
    })
  )
})

describe("idem.config.ts", () => {
  it.effect("may be missing", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* CommandLine.ofApp()(["connect", "github", "--name", "a"], { env })
      assert.strictEqual(code, 2)
      assert.include(
        stderr,
        'there is no integration "github"; there are: ftp, gmail, gmail-domain, imap, rss, slack (your own are listed in'
      )
    })
  )

  it("is named by IDEM_CONFIG, and then must be there", () =>
    inFolder(async (folder) => {
      const file = Path.join(folder, "mine.ts")
      const missing = await Effect.runPromise(
        CommandLine.ofApp()(["sync", "a"], { env: { ...env, IDEM_CONFIG: file } })
      )
      assert.strictEqual(missing.code, 2)
      assert.include(missing.stderr, `${file}: there is no such file`)
      Fs.writeFileSync(file, `import { github } from ${example}\nexport default { integrations: [github] }`)
      const wrong = await run(["connect", "github", "--name", "a", "--config", "{}"], {
        cwd: folder,
        env: { IDEM_CONFIG: "mine.ts" }
      })
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.stderr, "--config: repository is missing")
    }))

  it.effect("may put another integration in the place of one that is built in", () =>
    Effect.gen(function* () {
      const app = CommandLine.ofApp(Effect.succeed([{ ...github, domain: "gmail" }]))
      const { code, stderr } = yield* app(["connect", "gmail", "--name", "a", "--config", "{}"], { env })
      assert.strictEqual(code, 2)
      assert.include(stderr, "--config: repository is missing")
    })
  )
})
