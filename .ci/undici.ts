/**
 * A plugin for bundles. `@effect/platform-node` imports its module `Undici` on demand, which exports all of the
 * CommonJS package `undici` again. esbuild finds no names in such an import. In this module's place stands one that
 * names them.
 */
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Path from "node:path"
import type { Plugin } from "esbuild"

export const undici: Plugin = {
  name: "undici",
  setup: (build) => {
    build.onLoad({ filter: /\/@effect\/platform-node\/dist\/Undici\.js$/ }, ({ path }) => {
      const names = Object.keys(createRequire(Fs.realpathSync(path))("undici")).filter((name) => name !== "default")
      return {
        contents: `import undici from "undici"\nexport default undici\nexport const { ${names.join(", ")} } = undici`,
        resolveDir: Path.dirname(path)
      }
    })
  }
}
