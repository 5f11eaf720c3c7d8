/** Checks a private key before the server is reached. */
import ssh2 from "ssh2"

/** Why the private key can't be used, or undefined: said before the server is asked, without a word of the key. */
export const problem = (privateKey: string | undefined, passphrase: string | undefined): string | undefined => {
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
