/**
 * Parses the listings of FTP servers: MLSD (RFC 3659), or the `ls -l` and DOS forms of LIST. Text has one character a
 * byte (latin1), so that names keep their bytes.
 */
import { createHash } from "node:crypto"
import { type FileInfo, FileType, parseList } from "basic-ftp"
import * as Names from "./Names.ts"
import type { Entry, Listing, Stat } from "./Remote.ts"

/** Parses a time of RFC 3659 2.3: YYYYMMDDHHMMSS[.sss], always UTC. Returns undefined for any other text. */
export const parseTime = (fact: string): string | undefined => {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?$/.exec(fact.trim())
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second, fraction = ""] = match
  const seconds = `${year}-${month}-${day}T${hour}:${minute}:${second}`
  const time = new Date(`${seconds}Z`)
  // A date such as 31 February is invalid, and does not mean a later day.
  return Number.isNaN(time.getTime()) || !time.toISOString().startsWith(seconds) ? undefined : `${seconds}${fraction}Z`
}

/** Parses a number of bytes; undefined if it is malformed. */
export const parseSize = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined

/** Parses the facts of one line, by name in lower case. */
export const parseFacts = (facts: string): ReadonlyMap<string, string> =>
  new Map(
    facts.split(";").flatMap((fact) => {
      const at = fact.indexOf("=")
      return at > 0 ? [[fact.slice(0, at).trim().toLowerCase(), fact.slice(at + 1)] as const] : []
    })
  )

export const statOf = (facts: ReadonlyMap<string, string>): Stat => {
  const modify = facts.get("modify")
  return { size: parseSize(facts.get("size")), modified: modify === undefined ? undefined : parseTime(modify) }
}

/**
 * Returns the type of an entry (RFC 3659 7.5.1), including the forms that servers use for links
 * (`OS.unix=slink:target`, `OS.unix=symlink`); undefined if the server does not report it.
 */
export const kindOf = (facts: ReadonlyMap<string, string>): Entry["kind"] | "self" | undefined => {
  const type = facts.get("type")?.toLowerCase()
  if (type === undefined) return undefined
  if (type === "file") return "file"
  if (type === "dir") return "folder"
  if (type === "cdir" || type === "pdir") return "self"
  return /^os\.[a-z]+=(slink|symlink)/.test(type) ? "link" : "other"
}

const lineBreak = "its name holds a line break, which FTP can't ask for"

/** CRLF ends a line; a lone CR or LF is part of a name. If the server uses LF alone, LF ends a line. */
const linesOf = (text: string): ReadonlyArray<string> =>
  text.split(text.includes("\r\n") ? "\r\n" : "\n").filter((line) => line !== "")

interface Line {
  readonly name: string
  readonly entry: Stat & Pick<Entry, "kind" | "identity">
}

const collect = (
  lines: ReadonlyArray<string>,
  read: (line: string) => Line | string | undefined
): Pick<Listing, "entries" | "problems" | "digest" | "incomplete"> => {
  const digested: Array<string> = []
  const entries = new Map<string, Entry>()
  const problems: Array<string> = []
  let unread = 0
  for (const line of lines) {
    const result = read(line)
    if (result === undefined) continue
    if (typeof result === "string") {
      unread++
      problems.push(`a line of its listing can't be read (${result}): ${JSON.stringify(line.slice(0, 200))}`)
      continue
    }
    // Servers list a folder itself and its parent as folders. As file names, they would be an attempt to leave the
    // root.
    if (result.entry.kind === "folder" && (result.name === "." || result.name === "..")) continue
    digested.push(line)
    const problem = /[\r\n]/.test(result.name) ? lineBreak : Names.nameProblem(result.name)
    if (problem === undefined) {
      const name = Names.encode(Buffer.from(result.name, "latin1"))
      entries.set(name, { name, ...result.entry })
    } else problems.push(`${JSON.stringify(result.name.slice(0, 200))} was left out: ${problem}`)
  }
  const listed = [...entries.values()]
  const isTelling = listed.some(({ kind }) => kind === "file") && listed.every(({ identity }) => identity === undefined)
  return {
    entries: listed,
    problems,
    digest: isTelling ? digestOf(digested) : undefined,
    // A line that can't be read may be about a stored file, so the listing proves no deletion.
    incomplete: unread === 0 ? undefined : `${unread} lines can't be read`
  }
}

const digestOf = (lines: ReadonlyArray<string>): string =>
  createHash("sha256").update(lines.toSorted().join("\n")).digest("base64")

/**
 * Parses an MLSD listing, with identities if the server has the `unique` fact: pure-ftpd and proftpd also write it in
 * the line of the folder itself, pyftpdlib only in the lines of its entries.
 */
export const parseMlsd = (text: string): Listing => {
  let identity: string | undefined
  const unread: Array<string> = []
  const listing = collect(linesOf(text), (line) => {
    const space = line.indexOf(" ")
    if (space < 0 || (space > 0 && line[space - 1] !== ";")) return "no facts"
    const facts = parseFacts(line.slice(0, space))
    const kind = kindOf(facts)
    if (kind === "self") {
      if (facts.get("type")?.toLowerCase() === "cdir") identity = facts.get("unique") ?? identity
      return undefined
    }
    const name = line.slice(space + 1)
    if (kind === undefined) {
      unread.push(Names.encode(Buffer.from(name, "latin1")))
      return undefined
    }
    return { name, entry: { kind, ...statOf(facts), identity: facts.get("unique") } }
  })
  return { ...listing, identity, unread }
}

const listKinds: ReadonlyMap<FileType, Entry["kind"]> = new Map([
  [FileType.File, "file"],
  [FileType.Directory, "folder"],
  [FileType.SymbolicLink, "link"]
])

/** Parses a LIST listing. Its times are unknown, because they have no zone, and no year or no seconds. */
export const parseLs = (text: string): Listing =>
  collect(linesOf(text), (line) => {
    if (/^total \d+$/.test(line)) return undefined
    // A device is not a file, although the library reports it as one.
    if (/^[bcps][r-][w-]/.test(line)) return undefined
    const flat = line.replace(/[\r\n]/g, "\0")
    const restore = (name: string) => (flat === line ? name : name.replaceAll("\0", "\n"))
    let info: FileInfo | undefined
    try {
      info = parseList(flat)[0]
    } catch {
      return "unknown form"
    }
    if (info === undefined) return undefined
    return {
      name: restore(info.name),
      entry: {
        kind: listKinds.get(info.type) ?? "other",
        size: Number.isSafeInteger(info.size) ? info.size : undefined
      }
    }
  })
