/**
 * Verifies the host key of an SSH server: the key that the config names, or else the key that was seen first. Trust on
 * first use, like OpenSSH's `accept-new`: the first key is kept, and another one later is refused.
 */
import { createHash } from "node:crypto"

/** The fingerprint of a host key as OpenSSH writes it: `SHA256:` and base64 without padding. */
export const fingerprint = (key: Uint8Array): string =>
  `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`

const typeOf = (key: Uint8Array): string => {
  const bytes = Buffer.from(key)
  return bytes.length < 4 ? "" : bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString("latin1")
}

/** The base64 of a whole public key, out of a line of known_hosts, of a `.pub` file, or alone. */
const wholeKey = (text: string): Buffer | undefined => {
  const token = text.split(/\s+/).find((part) => part.startsWith("AAAA"))
  return token === undefined ? undefined : Buffer.from(token, "base64")
}

/** Why the key is not one of those, or undefined. Nothing but the key exchange has happened by then. */
export const refusal = (known: ReadonlyArray<string>, key: Uint8Array): string | undefined => {
  const isKnown = known.some((text) => {
    const whole = wholeKey(text)
    return whole === undefined ? text.trim().replace(/=+$/, "") === fingerprint(key) : whole.equals(key)
  })
  return isKnown
    ? undefined
    : `the server's host key is ${typeOf(key)} ${fingerprint(key)}, which is not the one that is known. No login was ` +
        `sent to it: either its key was changed by whoever runs it, or somebody stands in between. If you have made ` +
        `sure of it, connect again with "hostKey": "${fingerprint(key)}" in the config`
}

const byType = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"]
} as const

const isType = (type: string): type is keyof typeof byType => type in byType

/** Whole keys tell which types to ask the server for, which may have several; fingerprints don't. */
export const algorithms = (known: ReadonlyArray<string>) => {
  const types = known.map((text) => typeOf(wholeKey(text) ?? new Uint8Array()))
  const serverHostKey = types.flatMap((type) => (isType(type) ? [...byType[type]] : []))
  return types.length === 0 || !types.every(isType) ? {} : { algorithms: { serverHostKey } }
}
