import type { Reporter, TestCase } from "vitest/node"

/** Lists the tests that passed only after a retry (`vitest --retry`), which the default reporter does not show. */
export class UnsteadyTests implements Reporter {
  readonly #tests: Array<TestCase> = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky === true) this.#tests.push(test)
  }

  onTestRunEnd(): void {
    if (this.#tests.length === 0) return
    console.error(`\n${this.#tests.length} unsteady: these tests failed once and passed when they were repeated\n`)
    for (const test of this.#tests) {
      console.error(`  ${test.module.relativeModuleId} > ${test.fullName}`)
      const result = test.result()
      for (const error of result.errors ?? []) console.error(`    ${error.stack ?? error.message}`)
    }
  }
}
