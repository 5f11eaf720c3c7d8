import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Much of it waits for processes and servers: one more than there are cores of a small machine.
    maxWorkers: 3,
    globalSetup: ["test/support/globalSetup.ts"],
    // These end a test that hangs. No test is to depend on them: a slow machine may take many times longer than a fast one.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    typecheck: { enabled: false }
  }
})
