/**
 * Builds the dashboard's files into `dist` beside this file. npm's `prepare` runs it, so that they are ready after `npm
 * ci`. The names of scripts and styles contain their hash, so that a browser can cache them permanently, and they are
 * compressed here once.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Zlib from "node:zlib"

const source = Path.resolve(import.meta.dirname, "../../dashboard")
const target = Path.join(import.meta.dirname, "dist")

const esbuild = await import("esbuild").catch(() => undefined)
if (esbuild === undefined) {
  // This happens after `npm ci --omit=dev`, which must not fail because of it.
  process.stderr.write("the dashboard is not built: esbuild is not installed here (npm ci installs it)\n")
  process.exit(0)
}

const built = await esbuild.build({
  absWorkingDir: source,
  entryPoints: { main: "Main.tsx", style: "style.css", icon: "icon.svg" },
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  outdir: Path.join(target, "assets"),
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox114", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  // Imports of React resolve to Preact.
  alias: { react: "preact/compat", "react-dom": "preact/compat" },
  loader: { ".svg": "copy" },
  define: { "process.env.NODE_ENV": '"production"' },
  minify: true,
  legalComments: "eof",
  metafile: true,
  write: false,
  logLevel: "warning"
})

const named = (start: string, ending: string): string => {
  const found = built.outputFiles.map(({ path }) => Path.basename(path))
  const name = found.find((each) => each.startsWith(`${start}-`) && each.endsWith(ending))
  if (name === undefined) throw new Error(`the build made no ${start}${ending}, only ${found.join(", ")}`)
  return name
}

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="robots" content="noindex" />
    <title>Idem</title>
    <link rel="icon" type="image/svg+xml" href="/assets/${named("icon", ".svg")}" />
    <link rel="stylesheet" href="/assets/${named("style", ".css")}" />
    <script type="module" src="/assets/${named("main", ".js")}"></script>
  </head>
  <body>
    <div id="app"></div>
    <noscript><p>The dashboard needs JavaScript. The same can be asked on the command line: <code>idem --help</code></p></noscript>
  </body>
</html>
`

const write = async (path: string, bytes: Uint8Array): Promise<void> => {
  await Promise.all([
    Fs.writeFile(path, bytes),
    Fs.writeFile(`${path}.gz`, Zlib.gzipSync(bytes, { level: 9 })),
    Fs.writeFile(`${path}.br`, Zlib.brotliCompressSync(bytes))
  ])
}

await Fs.rm(target, { recursive: true, force: true })
await Fs.mkdir(Path.join(target, "assets"), { recursive: true })
await Promise.all(built.outputFiles.map(({ contents, path }) => write(path, contents)))
// Written last: when it exists, all files that it names exist.
await write(Path.join(target, "index.html"), Buffer.from(page))
