/**
 * Changes one place of the source at a time, and reports the changes that no test detects:
 *
 *     npm run mutate -- src/engine/feed
 *     npm run mutate -- src/engine/feed src/engine/webhooks
 *
 * A folder or file of `src` is tested by the tests in the same folder of `test`, or in its nearest existing parent;
 * `--tests` selects others. Fails if fewer than 90 % of the mutants are killed. A hundred mutants take minutes.
 */
import { Stryker } from "@stryker-mutator/core"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"

/** Tests in other folders that test most of a folder's code. */
const further: Readonly<Record<string, ReadonlyArray<string>>> = {
  "src/contract": ["test/testing/**/*.test.ts", "test/engine/sync/**/*.test.ts"]
}

const testsOf = (source: string): ReadonlyArray<string> => {
  let folder = source.endsWith(".ts") ? Path.dirname(source) : source
  while (!Fs.existsSync(folder.replace(/^src/, "test")) && folder !== "src") folder = Path.dirname(folder)
  return [`${folder.replace(/^src/, "test")}/**/*.test.ts`, ...(further[folder] ?? [])]
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: "string", multiple: true },
    /** True to mutate strings too. Most strings are messages, whose words no test repeats. */
    strings: { type: "boolean", default: false },
    concurrency: { type: "string", default: "1" }
  }
})
const sources = positionals.map((given) => given.replace(/\/+$/, ""))
if (sources.length === 0 || !sources.every((source) => /^src(\/|$)/.test(source) && Fs.existsSync(source))) {
  console.error("usage: npm run mutate -- src/FOLDER… [--tests GLOB]… [--strings] [--concurrency N]")
  process.exit(2)
}

process.env["IDEM_MUTATION_TESTS"] = [...new Set(values.tests ?? sources.flatMap(testsOf))].join(",")

const results = await new Stryker({
  mutate: sources.map((source) => (source.endsWith(".ts") ? source : `${source}/**/*.ts`)),
  mutator: { excludedMutations: values.strings ? [] : ["StringLiteral"] },
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "test/mutation/vitest.config.ts", related: false },
  // TypeScript 7 has no API with which Stryker could rewrite the paths in the file, and the paths need no change.
  tsconfigFile: "none",
  coverageAnalysis: "perTest",
  concurrency: Number(values.concurrency),
  // Ends a mutant that hangs; never reached on a slow machine.
  timeoutMS: 60_000,
  timeoutFactor: 4,
  reporters: ["clear-text", "progress-append-only"],
  clearTextReporter: { allowColor: false, reportTests: false, reportMutants: true },
  allowEmpty: false,
  tempDirName: ".stryker-tmp"
}).runMutationTest()

const killed = results.filter(({ status }) => status === "Killed" || status === "Timeout").length
const counted = results.filter(({ status }) => ["Killed", "Timeout", "Survived", "NoCoverage"].includes(status)).length
const share = counted === 0 ? 1 : killed / counted
console.log(`${killed} of ${counted} mutants of ${sources.join(" ")} are killed: ${(share * 100).toFixed(1)} %`)
process.exitCode = share < 0.9 ? 1 : 0
