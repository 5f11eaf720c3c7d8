#!/usr/bin/env node
/** Runs the command line. */
import * as Module from "node:module"
import * as Path from "node:path"

// Node keeps what it compiled for the next start, which then takes a third less CPU. The imports of this file itself are
// not kept, so everything else is imported after this line. Where the folder cannot be written, Node goes on without it.
Module.enableCompileCache(Path.join(import.meta.dirname, "../node_modules/.cache/idem"))
await import("./cli/Main.ts")
