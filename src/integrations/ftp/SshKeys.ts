/**
 * Checks the keys of SSH. The server's host key must be one from the config or from known_hosts (`KnownHosts.ts`), or
 * else the key that was seen first: trust on first use, like OpenSSH's `accept-new`. The private key of a connection is
 * checked before the server is reached.
 */
import { createHash } from "node:crypto"
import ssh2 from "ssh2"

/** The fingerprint of a host key as OpenSSH writes it: `SHA256:` and base64 without padding. */
export const fingerprint = (key: Uint8Array): string =>
  `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`

const typeOf = (key: Uint8Array): string => {
  const bytes = Buffer.from(key)
  return bytes.length < 4 ? "" : bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString("latin1")
}

/**
 * Returns the bytes of a whole public key, from a line of known_hosts, from a `.pub` file, or alone; undefined for any
 * other text.
 */
const wholeKey = (text: string): Buffer | undefined => {
  const token = text.split(/\s+/).find((part) => part.startsWith("AAAA"))
  return token === undefined ? undefined : Buffer.from(token, "base64")
}

/**
 * Returns why the host key is refused, or undefined if it is known. Checked during the key exchange, before any login.
 */
export const hostKeyRefusal = (known: ReadonlyArray<string>, key: Uint8Array): string | undefined => {
  const isKnown = known.some((text) => {
    const whole = wholeKey(text)
    return whole === undefined ? text.trim().replace(/=+$/, "") === fingerprint(key) : whole.equals(key)
  })
  return isKnown
    ? undefined
    : `the server's host key is ${typeOf(key)} ${fingerprint(key)}, which is not the known key. Idem did not log in: ` +
        `either the operator changed the key, or somebody intercepts the connection. If you have verified the key, ` +
        `connect again with "hostKey": "${fingerprint(key)}" in the config`
}

const byType = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"]
} as const

const isType = (type: string): type is keyof typeof byType => type in byType

/**
 * Returns the host key algorithms to request, because the server may have keys of several types. Only whole keys have a
 * type, fingerprints do not.
 */
export const hostKeyAlgorithms = (known: ReadonlyArray<string>) => {
  const types = known.map((text) => typeOf(wholeKey(text) ?? new Uint8Array()))
  const serverHostKey = types.flatMap((type) => (isType(type) ? [...byType[type]] : []))
  return types.length === 0 || !types.every(isType) ? {} : { algorithms: { serverHostKey } }
}

/**
 * Returns why the private key can't be used, or undefined if it can. Checked before the server is reached; the message
 * does not contain the key.
 */
export const privateKeyProblem = (
  privateKey: string | undefined,
  passphrase: string | undefined
): string | undefined => {
  if (privateKey === undefined) return undefined
  const parsed = ssh2.utils.parseKey(privateKey, passphrase)
  if (!(parsed instanceof Error)) {
    return parsed.isPrivateKey() ? undefined : `"privateKey" in the credentials is a public key: give the private one`
  }
  if (!/^\s*(-----BEGIN |PuTTY-User-Key-File)/.test(privateKey)) {
    return `"privateKey" in the credentials is no private key: give the text of its file, or "@FILE" on the command line`
  }
  const isEncrypted = /no passphrase given/i.test(parsed.message)
  if (isEncrypted) return `the private key is encrypted: give its "passphrase" in the credentials`
  return passphrase === undefined
    ? `"privateKey" in the credentials can't be read: it is cut short, or of a kind that is not supported`
    : `the "passphrase" in the credentials does not open the private key`
}
