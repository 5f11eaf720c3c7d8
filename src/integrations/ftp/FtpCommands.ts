/** FTP commands that need more of a reply than `basic-ftp` returns. */
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { type Client, FTPError, type FTPResponse } from "basic-ftp"
import { parseFacts } from "./ListingParser.ts"
import * as Remote from "./Remote.ts"

/**
 * Returns why a listing may be incomplete, by the server's reply. vsftpd and pure-ftpd reply 226, success, for a folder
 * that they could not open, and pure-ftpd for a folder of which it listed only the first 10,000 names: files would be
 * deleted because of such a listing.
 */
export const incompleteness = (response: FTPResponse): string | undefined => {
  if (/failed to open|unable to (read|open)|permission denied/i.test(response.message)) {
    throw new FTPError({ code: 550, message: response.message })
  }
  return /truncated/i.test(response.message) ? response.message.split("\n")[0] : undefined
}

/**
 * Lists the working folder with its hidden names. Some servers refuse `-a`, and some reply to it with success and no
 * names (basic-ftp#273): both are asked again without it.
 */
export const listNames = async (client: Client, timeout: number) => {
  const refused = (cause: unknown) => (cause instanceof FTPError ? undefined : Promise.reject(cause))
  const hidden = await listing(client, "LIST -a", timeout).catch(refused)
  if (hidden !== undefined && hidden.text.trim() !== "") return hidden
  const plain = listing(client, "LIST", timeout)
  // A server may refuse to list an empty folder: then the first reply is used.
  return hidden === undefined ? plain : ((await plain.catch(refused)) ?? hidden)
}

/** Returns the identity of a folder whose listing does not contain it; undefined if the server does not report it. */
export const identityOf = async (client: Client, path: string): Promise<string | undefined> =>
  client.send(`MLST ${path}`).then(
    ({ message }) => mlstFacts(message).get("unique"),
    (cause: unknown) => (cause instanceof FTPError ? undefined : Promise.reject(cause))
  )

/** Returns the facts of an MLST reply: the line that begins with a space (RFC 3659 7.2). */
export const mlstFacts = (message: string) => {
  const line = message.split("\n").find((line) => line.startsWith(" ")) ?? ""
  return parseFacts(line.slice(1).split(" ")[0] ?? "")
}

/** Returns the working folder. The reply has it in quotes, and quotes within it are doubled (RFC 959). */
export const workingFolder = async (client: Client): Promise<string> => {
  const { message } = await client.send("PWD")
  const folder = /"((?:[^"]|"")*)"/.exec(message)?.[1]?.replaceAll('""', '"') ?? ""
  return folder.replace(/\/+$/, "")
}

/**
 * Lists a folder, and returns the listing with the server's last reply, which `Client.list` drops: two servers report
 * only there that they could not read the folder.
 */
export const listing = async (
  client: Client,
  command: string,
  timeout: number
): Promise<{ readonly response: FTPResponse; readonly text: string }> => {
  await client.prepareTransfer(client.ftp)
  const chunks: Array<Buffer> = []
  let bytes = 0
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, next) => {
      bytes += chunk.length
      if (bytes > Remote.maxListingBytes) {
        return next(new Error(`its listing is longer than ${Remote.maxListingBytes} bytes`))
      }
      chunks.push(chunk)
      next()
    }
  })
  let received: Promise<void> | undefined
  const response: FTPResponse = await client.ftp.handle(command, (answer, task) => {
    if (answer instanceof Error) {
      client.ftp.dataSocket = undefined
      return task.reject(answer)
    }
    if ((answer.code === 125 || answer.code === 150) && received === undefined) {
      const data = client.ftp.dataSocket
      if (data === undefined) return task.reject(new Error("the data connection is closed"))
      // The control connection is silent while data is transferred.
      client.ftp.socket.setTimeout(0)
      data.setTimeout(timeout)
      received = pipeline(data, sink)
      received.then(
        () => client.ftp.socket.setTimeout(timeout),
        (cause: Error) => task.reject(cause)
      )
      return
    }
    if (answer.code >= 200 && answer.code < 300) task.resolve(answer)
  })
  await received
  client.ftp.dataSocket = undefined
  return { response, text: Buffer.concat(chunks).toString("latin1") }
}
