/** `idem init`: a project for an integration, whose tests pass at once. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { fileURLToPath } from "node:url"
import packageJson from "../../package.json" with { type: "json" }
import * as Folders from "../engine/Folders.ts"
import { explain, explainPlatform } from "../engine/SystemErrors.ts"
import * as Arguments from "./Arguments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as TextFormat from "./TextFormat.ts"

/** Turns the folder's name into a package name. */
const packageName = (folder: string): string =>
  folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "") || "my-integration"

/** The checkout that this file belongs to; undefined in the published package. */
const checkout = import.meta.url.endsWith("/src/cli/Init.ts")
  ? fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")
  : undefined

/**
 * Returns the commands that install Idem into the new project and run its tests. In a checkout, Idem is installed as a
 * tarball of it.
 */
const nextSteps = (folder: string): ReadonlyArray<string> => {
  const enter = folder === "." ? "" : `cd ${TextFormat.shellWord(folder)} && `
  if (checkout === undefined) return [`next: ${enter}npm install && npm test`]
  const from = TextFormat.shellWord(checkout)
  const tarball = `${packageJson.name.replace("@", "").replace("/", "-")}-${packageJson.version}.tgz`
  return [
    "next:",
    `  npm --prefix ${from} run build && npm pack ${from}/dist --pack-destination ${TextFormat.shellWord(folder)}`,
    `  ${enter}npm install ./${tarball} && npm test`
  ]
}

export const init = Command.make(
  "init",
  {
    folder: Argument.String("folder").pipe(
      Argument.withDescription("the folder of the new project (default: this folder)"),
      Argument.withDefault(".")
    ),
    rest: Arguments.flag("rest", "describe a REST API (Idem.rest) instead of writing the listing in code")
  },
  Effect.fn("init")(function* (input) {
    const output = yield* Output
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.resolve(input.folder)
    // Loaded by this command only.
    const { files } = yield* Effect.promise(() => import("./ProjectTemplate.ts"))
    const wanted = Object.entries(files(packageName(path.basename(folder)), input.rest))
    const refused = (what: string, why: string) => CommandFailure.failed("Init", `${what} can't be written: ${why}`)
    const written = (what: string) => (error: PlatformError) => refused(what, explainPlatform(error))
    const there = yield* Effect.filter(wanted, ([name]) =>
      Effect.mapError(fs.exists(path.join(folder, name)), written(name))
    )
    if (there.length > 0) {
      const names = there.map(([name]) => name).join(", ")
      return yield* CommandFailure.usage(`${folder} already has ${names}: nothing was written; give another folder`)
    }
    yield* Effect.forEach(wanted, ([name, text]) => {
      const file = path.join(folder, name)
      return Effect.andThen(
        Effect.tryPromise({
          try: () => Folders.create(path.dirname(file)),
          catch: (cause) => refused(file, explain(cause))
        }),
        Effect.mapError(fs.writeFileString(file, text, { flag: "wx" }), written(file))
      )
    })
    yield* output.answer({ folder, files: wanted.map(([name]) => name) }, () =>
      [
        `${output.style.good("made")} a project in ${TextFormat.oneLine(folder)}`,
        ...wanted.map(([name]) => `  ${name}`),
        ...nextSteps(input.folder)
      ].join("\n")
    )
  })
).pipe(Command.withDescription("Create a project for your own integration, with its tests"))
