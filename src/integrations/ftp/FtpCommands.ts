/** Commands of FTP that need more of an answer than `basic-ftp` gives. */
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { type Client, FTPError, type FTPResponse } from "basic-ftp"
import { parseFacts } from "./ListingParser.ts"
import * as Remote from "./Remote.ts"

/**
 * vsftpd and pure-ftpd answer 226, success, to a folder that they could not open, and pure-ftpd to one of which it
 * listed the first 10,000 names only: an empty or short listing by which files would be deleted.
 */
export const incompleteness = (response: FTPResponse): string | undefined => {
  if (/failed to open|unable to (read|open)|permission denied/i.test(response.message)) {
    throw new FTPError({ code: 550, message: response.message })
  }
  return /truncated/i.test(response.message) ? response.message.split("\n")[0] : undefined
}

/**
 * The working folder with its hidden names. Some servers refuse `-a`, and some answer it with success and not one name
 * (basic-ftp#273): both are asked again without it.
 */
export const listNames = async (client: Client, timeout: number) => {
  const refused = (cause: unknown) => (cause instanceof FTPError ? undefined : Promise.reject(cause))
  const hidden = await listing(client, "LIST -a", timeout).catch(refused)
  if (hidden !== undefined && hidden.text.trim() !== "") return hidden
  const plain = listing(client, "LIST", timeout)
  // A server may refuse to list an empty folder: then the first answer stands.
  return hidden === undefined ? plain : ((await plain.catch(refused)) ?? hidden)
}

/** The identity of a folder whose listing does not tell it. */
export const identityOf = async (client: Client, path: string): Promise<string | undefined> =>
  client.send(`MLST ${path}`).then(
    ({ message }) => mlstFacts(message).get("unique"),
    (cause: unknown) => (cause instanceof FTPError ? undefined : Promise.reject(cause))
  )

/** RFC 3659 7.2: the line with the facts begins with a space. */
export const mlstFacts = (message: string) => {
  const line = message.split("\n").find((line) => line.startsWith(" ")) ?? ""
  return parseFacts(line.slice(1).split(" ")[0] ?? "")
}

/** RFC 959: the folder stands in quotes, in which a quote is doubled. */
export const workingFolder = async (client: Client): Promise<string> => {
  const { message } = await client.send("PWD")
  const folder = /"((?:[^"]|"")*)"/.exec(message)?.[1]?.replaceAll('""', '"') ?? ""
  return folder.replace(/\/+$/, "")
}

/**
 * A listing with the server's last word on it, which `Client.list` drops: two servers tell there, and only there, that
 * they could not read the folder.
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
      // While data flows the control connection is silent.
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
