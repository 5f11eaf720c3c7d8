/**
 * Finds and reads `idem.config.ts`: the file that `IDEM_CONFIG` names, otherwise the one in the working directory.
 * Without a file there are only the built-in integrations. A process reads the file once.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import { readFileSync } from "node:fs"
import * as Module from "node:module"
import { fileURLToPath } from "node:url"
import type { Integration } from "../contract/Integration.ts"
import { UsageError } from "../engine/Engine.ts"
import * as TextFormat from "./TextFormat.ts"

const standard = "idem.config.ts"

const domainPattern = /^[a-z][a-z0-9-]{0,29}$/

const programs = ["decodeConfig", "decodeCredentials", "readsCheckpoint", "open"] as const

const isIntegration = (value: unknown): value is Integration =>
  Predicate.hasProperty(value, "domain") &&
  typeof value.domain === "string" &&
  programs.every((name) => Predicate.hasProperty(value, name) && typeof value[name] === "function")

const wrongIntegration = (value: unknown): string =>
  typeof value === "function"
    ? "is a function, not an integration: call it"
    : Predicate.hasProperty(value, "domain")
      ? "is not an integration yet: make it with Integration.make"
      : "is not an integration"

/** Returns the integrations of a loaded module. Fails with what is wrong with the module. */
const integrationsOf = (module: unknown): Effect.Effect<ReadonlyArray<Integration>, string> => {
  if (!Predicate.hasProperty(module, "default")) {
    return Effect.fail("it has no default export: write `export default defineConfig({ integrations: […] })`")
  }
  const config = module.default
  if (!Predicate.hasProperty(config, "integrations") || !Array.isArray(config.integrations)) {
    return Effect.fail("its default export has no list of `integrations`")
  }
  const other = Object.keys(config).find((name) => name !== "integrations")
  if (other !== undefined) return Effect.fail(`there is no setting ${TextFormat.quoted(other)}; there is: integrations`)
  const found = new Map<string, Integration>()
  for (const [index, value] of (config.integrations as ReadonlyArray<unknown>).entries()) {
    const place = `integrations[${index}]`
    if (!isIntegration(value)) return Effect.fail(`${place} ${wrongIntegration(value)}`)
    const domain = TextFormat.quoted(value.domain)
    if (!domainPattern.test(value.domain)) {
      return Effect.fail(`${place} has the domain ${domain}: it must be a-z, 0-9 and -, at most 30 characters`)
    }
    if (found.has(value.domain)) return Effect.fail(`${place} has the domain ${domain}, as another has before it`)
    found.set(value.domain, value)
  }
  return Effect.succeed([...found.values()])
}

// For a file that does not parse, only the beginning of the error's stack names the line.
const explain = (error: unknown): string => {
  if (!(error instanceof Error)) return TextFormat.short(String(error), 300)
  const at = /^(?:file:\/\/)?(\/\S*?):(\d+)\n/.exec(error.stack ?? "")
  const line = at === null ? "" : ` (${at[1]}:${at[2]})`
  return TextFormat.short(`${error.name}: ${error.message.replaceAll(/\s*\n\s*/g, " ")}${line}`, 400)
}

const isModuleSyntax = (source: string): boolean => /^\s*(import|export)\b/m.test(source)

/**
 * Loads a file with `import` or `export` as an ES module, even if the package is CommonJS: `npm init -y` creates
 * packages of the type `commonjs`, in which Node reads a TypeScript file as CommonJS.
 */
const asModule = (resolved: Module.ResolveFnOutput): Module.ResolveFnOutput => {
  if (resolved.format !== "commonjs-typescript" && !/^file:.*\.ts$/.test(resolved.url)) return resolved
  if (resolved.format === "module-typescript" || resolved.url.includes("/node_modules/")) return resolved
  return isModuleSyntax(readFileSync(fileURLToPath(resolved.url), "utf8"))
    ? { ...resolved, format: "module-typescript" }
    : resolved
}

/**
 * Resolves `effect` and `@idem-sync/idem/…` to this process's own copies for every importer, because two copies cannot
 * read each other's schemas. So the config file works in any folder, even if neither is installed there. Older files
 * import `idem/…`, from before the package had a scope.
 */
const shareOurs = Effect.sync(() =>
  Module.registerHooks({
    resolve: (specifier, context, next) =>
      /^(effect|idem|@idem-sync\/idem)(\/|$)/.test(specifier)
        ? next(specifier.replace(/^idem(?=\/|$)/, "@idem-sync/idem"), { ...context, parentURL: import.meta.url })
        : asModule(next(specifier, context))
  })
)

/** The integrations of the config file. Fails with one line that names the file and what is wrong with it. */
export const load: Effect.Effect<
  ReadonlyArray<Integration>,
  UsageError,
  FileSystem.FileSystem | Path.Path
> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const wrong = (file: string, what: string) => new UsageError({ message: `${file}: ${what}` })
  const set = yield* Effect.orDie(Config.option(Config.NonEmptyString("IDEM_CONFIG")))
  const file = path.resolve(Option.getOrElse(set, () => standard))
  const exists = yield* Effect.mapError(fs.exists(file), (error) =>
    wrong(file, `it can't be read (${error.reason._tag})`)
  )
  if (!exists) {
    return Option.isNone(set) ? [] : yield* wrong(file, "there is no such file (it is named by IDEM_CONFIG)")
  }
  const url = yield* Effect.orDie(path.toFileUrl(file))
  yield* shareOurs
  const module = yield* Effect.tryPromise({
    try: (): Promise<unknown> => import(url.href),
    catch: (error) => wrong(file, `it can't be loaded: ${explain(error)}`)
  })
  return yield* Effect.mapError(integrationsOf(module), (what) => wrong(file, what))
})
