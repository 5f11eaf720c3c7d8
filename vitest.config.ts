import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { UnsteadyTests } from "./test/support/UnsteadyTests.ts"

/** Files that take long, the longest first. Begun late, one of them would go on alone after all others have ended. */
const longest = [
  "chaos/chaos",
  "cluster/Cluster",
  "cluster/Shutdown",
  "dashboard/Dashboard",
  "stores/EmbeddedFolder",
  "stores/Embedded",
  "docs/commands",
  "integrations/ftp/conformance",
  "cli/Copy",
  "integrations/ftp/realServers",
  "integrations/gmail/Memory",
  "http/RemoteProcess",
  "cli/Process"
]

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const place = ({ moduleId }: TestSpecification): number => {
      const index = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
      return index === -1 ? longest.length : index
    }
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b))
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Much of it waits for processes and servers: two more than there are cores of a small machine.
    maxWorkers: 4,
    // A worker runs many files, and imports Effect and the sources once: half the CPU of the small files. So no file
    // may leave a global variable, an environment variable or a listener behind.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    reporters: ["default", new UnsteadyTests()],
    globalSetup: ["test/support/globalSetup.ts"],
    setupFiles: ["test/support/seededRandom.ts"],
    // These end a test that hangs. No test is to depend on them: a slow machine may take many times longer than a fast
    // one.
    testTimeout: 900_000,
    hookTimeout: 900_000,
    teardownTimeout: 120_000,
    typecheck: { enabled: false }
  }
})
