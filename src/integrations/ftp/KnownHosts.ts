/**
 * Reads the host keys that OpenSSH knows, from `~/.ssh/known_hosts` of the user that Idem runs as (sshd(8),
 * SSH_KNOWN_HOSTS FILE FORMAT). `SshKeys.ts` compares the server's key with them.
 */
import { createHmac } from "node:crypto"
import { readFile } from "node:fs/promises"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** Returns true if a pattern of known_hosts matches: a hashed name (`|1|salt|hash`), or a name with `*` and `?`. */
const matches = (pattern: string, name: string): boolean => {
  const [, version, salt, hash] = pattern.split("|")
  if (version === "1" && salt !== undefined && hash !== undefined) {
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash
  }
  const text = pattern.toLowerCase().replace(/[\\^$.+()|{}[\]]/g, "\\$&")
  return new RegExp(`^${text.replaceAll("*", ".*").replaceAll("?", ".")}$`).test(name)
}

/** Returns the lines with keys of this server. Lines with a marker (`@revoked`, `@cert-authority`) are left out. */
export const linesOf = (text: string, host: string, port: number): ReadonlyArray<string> => {
  const name = port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`
  return text.split(/\r?\n/).filter((line) => {
    if (/^\s*([#@]|$)/.test(line)) return false
    const patterns = line.trim().split(/\s+/)[0]?.split(",") ?? []
    const refuses = patterns.some((pattern) => pattern.startsWith("!") && matches(pattern.slice(1), name))
    return !refuses && patterns.some((pattern) => !pattern.startsWith("!") && matches(pattern, name))
  })
}

/** Reads the known keys of this server; empty if the file does not exist. */
export const read = Effect.fnUntraced(
  function* (host: string, port: number) {
    const home = yield* Config.option(Config.String("HOME"))
    if (Option.isNone(home)) return []
    const text = yield* Effect.promise(() => readFile(`${home.value}/.ssh/known_hosts`, "utf8").catch(() => ""))
    return linesOf(text, host, port)
  },
  Effect.orElseSucceed((): ReadonlyArray<string> => [])
)
