/** Exports into a folder, and the files that an export writes. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { bytes, MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

export const temporary = Effect.provide(
  FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "idem-export-" })),
  NodeServices.layer
)

/** Returns the paths below a folder, with their contents. */
export const tree = (folder: string): Record<string, string> =>
  Object.fromEntries(
    Fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => Fs.lstatSync(Path.join(folder, path)).isFile())
      .toSorted()
      .map((path) => [path, Fs.readFileSync(Path.join(folder, path), "latin1")])
  )

/** Makes a database with a connection `work` of this domain that has stored these contents. */
export const stored = Effect.fnUntraced(function* (
  contents: Record<string, string | Uint8Array>,
  engine?: Parameters<typeof CommandLine.make>[1],
  mediaType?: string
) {
  const source = new MemorySource()
  for (const [id, body] of Object.entries(contents)) {
    source.add(id, {
      body: typeof body === "string" ? bytes(body) : body,
      metadata: { subject: id },
      mediaType,
      at: DateTime.makeUnsafe("2026-01-02T03:04:05Z")
    })
  }
  const cli = yield* CommandLine.make(source, engine)
  yield* cli.connect("work")
  assert.strictEqual((yield* cli.run(["sync", "work"])).code, 0)
  const to = yield* temporary
  const write = (format: string) => cli.run(["export", "work", "--to", to, "--format", format, "--json"])
  return { ...cli, to, write }
})
