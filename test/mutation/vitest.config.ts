/** The tests that main.ts chose, as the whole suite runs them. */
import { defineConfig } from "vitest/config"
import config from "../../vitest.config.ts"

export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: (process.env["IDEM_MUTATION_TESTS"] ?? "").split(","),
    // Mutated files are exempt from type checks, and so tell the compiler nothing.
    testNamePattern: /^(?!the contract's types)/
  }
})
