/**
 * The compiler accepts the programs on the page about embedding, with declarations of the names that a reader provides.
 */
import { assert, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { API } from "typescript/unstable/sync"
import { repository } from "../support/IdemProcess.ts"
import { blocksOf, pages } from "./Pages.ts"

const brought = `
import * as Effect from "effect/Effect"
import type { Change, Integration } from "./Brought.ts"
declare const accessToken: string
declare const database: string
declare const secretKey: string
declare const integrations: ReadonlyArray<Integration.Integration>
declare let lastCursor: string | undefined
declare const handle: (change: Change["change"], content: Change["content"]) => Promise<void>
`

const types = `
import { createIdem } from "@idem-sync/idem"
export type { Integration } from "@idem-sync/idem/contract"
type Idem = Awaited<ReturnType<typeof createIdem>>
export type Change = ReturnType<Idem["changes"]> extends AsyncIterable<infer One> ? One : never
`

it("each program of the page about embedding compiles", () => {
  const page = pages.find(({ path }) => path === "docs/embedding.md")
  assert(page !== undefined)
  const blocks = blocksOf(page, "ts")
  assert.isAtLeast(blocks.length, 3)
  // Inside the repository, where the package's name resolves to its sources.
  const folder = Fs.mkdtempSync(Path.join(repository, "test/docs/.types-"))
  try {
    Fs.writeFileSync(Path.join(folder, "Brought.ts"), types)
    for (const [index, block] of blocks.entries()) {
      const imports = block.includes("import { createIdem }") ? "" : `import { createIdem } from "@idem-sync/idem"\n`
      Fs.writeFileSync(
        Path.join(folder, `block${index}.ts`),
        `${imports}${brought}${block.replaceAll("…", "")}\nexport {}\n`
      )
    }
    const config = {
      extends: "../../../tsconfig.json",
      include: ["*.ts"],
      compilerOptions: { noUnusedLocals: false }
    }
    const configFile = Path.join(folder, "tsconfig.json")
    Fs.writeFileSync(configFile, JSON.stringify(config))
    const compiler = new API({ cwd: folder })
    try {
      const project = compiler.updateSnapshot({ openProjects: [configFile] }).getProject(configFile)
      assert(project !== undefined)
      const { program, rootFiles } = project
      assert.strictEqual(rootFiles.length, blocks.length + 1)
      // Of the sources, which `npm run check` checks, only what these files use is checked.
      const errors = rootFiles
        .flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
        .map(({ fileName, text }) => `${fileName}: ${text}`)
      assert.deepStrictEqual(errors, [])
    } finally {
      compiler.close()
    }
  } finally {
    Fs.rmSync(folder, { recursive: true })
  }
})
