#!/usr/bin/env node
/** Runs the command line. This file is all that an older Node has to understand. */
import * as Module from "node:module"
import * as Path from "node:path"

const [major] = process.versions.node.split(".")
if (Number(major) < 24) {
  process.stderr.write(`idem needs Node 24 or newer, and this is Node ${process.versions.node}\n`)
  process.exit(1)
}

// Node keeps what it compiled for the next start, which then takes a third less CPU. The imports of this file itself
// are not kept, so everything else is imported after this line. Where the folder cannot be written, Node goes on
// without it.
Module.enableCompileCache(Path.join(import.meta.dirname, "../node_modules/.cache/idem"))
await import("./cli/Main.ts")
