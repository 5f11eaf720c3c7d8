/**
 * The stand-in for Gmail as a process of its own, so that its memory is not that of what is measured: a mailbox of
 * COUNT messages of so many BYTES each. Its URL is its first line on stdout; it ends with its stdin.
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
