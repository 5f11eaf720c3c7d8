/** Runs the tests that main.ts selected, with the settings of the whole suite. */
import { defineConfig } from "vitest/config"
import config from "../../vitest.config.ts"

export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: (process.env["IDEM_MUTATION_TESTS"] ?? "").split(","),
    // Mutated files are exempt from type checks, so tests of types prove nothing.
    testNamePattern: /^(?!the contract's types)/
  }
})
