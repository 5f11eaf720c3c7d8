/**
 * Runs the stand-in for Gmail as a separate process, so that its memory is not part of a measurement: a mailbox of
 * COUNT messages of BYTES each. Prints its URL as the first line on stdout, and ends when its stdin ends.
 *
 *     node test/support/gmail/largeMailbox.ts COUNT BYTES
 */
import * as Effect from "effect/Effect"
import * as GmailServer from "../GmailServer.ts"

const [count = 0, size = 0] = process.argv.slice(2).map(Number)

const message = (index: number) => {
  const bytes = Buffer.alloc(size, `line ${index} of an attachment that nobody needs\r\n`)
  bytes.write(`Subject: Large ${index}\r\nContent-Type: text/plain\r\n\r\n`)
  return new Uint8Array(bytes)
}

await Effect.gen(function* () {
  const server = yield* GmailServer.make()
  server.mailbox.fill(count, (index) => ({ raw: () => message(index) }))
  process.stdout.write(`${server.url}\n`)
  yield* Effect.callback<void>((resume) => {
    process.stdin.resume()
    process.stdin.on("end", () => resume(Effect.void))
  })
}).pipe(Effect.scoped, Effect.runPromise)
