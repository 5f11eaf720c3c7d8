#!/usr/bin/env node
/** Runs the command line. This file is all that an older Node has to understand. */
import * as Fs from "node:fs"
import * as Module from "node:module"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"

const [major] = process.versions.node.split(".")
if (Number(major) < 24) {
  process.stderr.write(`idem needs Node 24 or newer, and this is Node ${process.versions.node}\n`)
  process.exit(1)
}

// Node keeps what it compiled for the next start, which then takes a third less CPU. The imports of this file itself
// are not kept, so everything else is imported after this line. Where the folder cannot be written, Node goes on
// without it.
Module.enableCompileCache(Path.join(import.meta.dirname, "../node_modules/.cache/idem"))

// A package also holds the command line with `effect` bundled in, which starts in half the CPU. The integrations of a
// config file must share their `effect` with the process, so it runs only where no config file is read.
const closed = Path.join(import.meta.dirname, "cli/Closed.js")
const args = process.argv.slice(2)
const readsConfig =
  !(args.length === 1 && /^(--version|-v|--help|-h|help)$/.test(args[0] ?? "")) &&
  (process.env["IDEM_CONFIG"] !== undefined || Fs.existsSync("idem.config.ts"))
const isPackage = Fs.existsSync(closed)

// Chunks of a package name each other by their place and are modules, so Node need not look for either: that takes a
// tenth of a start's CPU.
if (isPackage) {
  const chunks = new URL("../chunks/", import.meta.url).href
  Module.registerHooks({
    resolve: (specifier, context, next) => {
      const url = specifier.startsWith(".") ? new URL(specifier, context.parentURL).href : ""
      return url.startsWith(chunks) ? { url, format: "module", shortCircuit: true } : next(specifier, context)
    }
  })
}
await (readsConfig || !isPackage ? import("./cli/Main.ts") : import(pathToFileURL(closed).href))
