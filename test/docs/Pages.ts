/** The Markdown files of the documentation, and the parts that the tests read. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { repository } from "../support/IdemProcess.ts"

export interface Page {
  /** The path relative to the repository. */
  readonly path: string
  readonly text: string
}

/** Every page: README, CONTRIBUTING and `docs`. */
export const pages: ReadonlyArray<Page> = [
  "README.md",
  "CONTRIBUTING.md",
  ...Fs.readdirSync(Path.join(repository, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`)
].map((path) => ({ path, text: Fs.readFileSync(Path.join(repository, path), "utf8") }))

const withoutCode = (text: string): string =>
  text.replaceAll(/^( *)```[\s\S]*?^\1```/gm, "").replaceAll(/`[^`\n]*`/g, "")

/** Returns the targets of a page's links, as written. */
export const linksOf = ({ text }: Page): ReadonlyArray<string> =>
  Array.from(withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target)

/** Returns the anchors of a page's headings, in GitHub's form. */
export const anchorsOf = ({ text }: Page): ReadonlySet<string> =>
  new Set(
    Array.from(text.replaceAll(/^( *)```[\s\S]*?^\1```/gm, "").matchAll(/^#+ (.+)$/gm), ([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    )
  )

/** Returns the fenced blocks of a page with exactly this info string, without their indentation. */
export const blocksOf = ({ text }: Page, info: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/^( *)```([^\n]*)\n([\s\S]*?)^\1```/gm))
    .filter(([, , found = ""]) => found.trim() === info)
    .map(([, indent = "", , body = ""]) => body.replaceAll(new RegExp(`^${indent}`, "gm"), ""))
