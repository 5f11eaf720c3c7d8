/**
 * Makes `dist`: a folder that is the package as it is published (`npm pack ./dist`, `npm publish ./dist`). Node runs the
 * checkout's TypeScript as it is, but no TypeScript below `node_modules`, so the package has JavaScript, its types and
 * its source maps, in the same tree.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")
const dist = Path.join(root, "dist")

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { error, status } = spawnSync(command, args, { cwd: root, stdio: "inherit" })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** `./src/contract/Contract.ts` as it is called in the package. */
const emitted = (path: string, extension: ".js" | ".d.ts"): string => path.replace(/\.ts$/, extension)

Fs.rmSync(dist, { recursive: true, force: true })
run("tsc", "--project", ".ci/tsconfig.build.json")

const dashboard = "src/http/dashboard/dist"
if (!Fs.existsSync(Path.join(root, dashboard))) run("npm", "run", "-s", "prepare")
Fs.cpSync(Path.join(root, dashboard), Path.join(dist, dashboard), { recursive: true })

const {
  allowScripts: _allow,
  devDependencies: _dev,
  scripts: _scripts,
  ...manifest
} = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
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
  files: ["src", "docs"]
}
Fs.writeFileSync(Path.join(dist, "package.json"), `${JSON.stringify(published, null, 2)}\n`)
for (const name of ["README.md", "docs", "LICENSE"])
  Fs.cpSync(Path.join(root, name), Path.join(dist, name), { recursive: true })
Fs.chmodSync(Path.join(dist, emitted(manifest.bin.idem, ".js")), 0o755)
