/**
 * Serves a small account of each source on loopback until it is killed. Prints a tab-separated line for each: name,
 * domain, config and credentials. `.ci/package` connects the package to them. On stderr it prints the URL of an
 * endpoint for a webhook, and then what that endpoint and the sockets receive: `webhook` with the body of each message,
 * and `event` when the package has acknowledged an event that was sent over a socket.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as FeedServer from "./FeedServer.ts"
import * as FtpStandIn from "./ftp/FtpStandIn.ts"
import * as SftpStandIn from "./ftp/SftpStandIn.ts"
import * as GmailServer from "./GmailServer.ts"
import * as ImapStandIn from "./imap/ImapStandIn.ts"
import * as Receiver from "./Receiver.ts"
import * as SlackServer from "./SlackServer.ts"
import * as SocketMode from "./slack/SocketMode.ts"

const quota = { unitsPerMinute: 1_000_000_000 }

const print = (name: string, domain: string, config: object, credentials: object) =>
  Effect.sync(() =>
    console.log([name, domain, JSON.stringify({ ...config, quota }), JSON.stringify(credentials)].join("\t"))
  )

const serve = Effect.gen(function* () {
  const feed = yield* FeedServer.make
  feed.add("a")
  yield* print("news", "rss", { url: feed.address("/rss") }, {})

  const gmail = yield* GmailServer.make({ accessToken: "token" })
  gmail.mailbox.fill(3)
  yield* print("mail", "gmail", { rootUrl: gmail.url }, { accessToken: "token" })

  const slack = yield* SlackServer.make()
  const channel = slack.workspace.addChannel("general")
  slack.workspace.post(channel, "hello")
  const socket = yield* SocketMode.make(slack)
  yield* print("chat", "slack", { slackApiUrl: socket.url }, { token: slack.token, appToken: SocketMode.appToken })

  const imap = yield* ImapStandIn.run()
  imap.create("INBOX")
  imap.append("INBOX", "Subject: hello\r\n\r\nhello\r\n")
  yield* print("inbox", "imap", imap.config, imap.credentials)

  const ftp = yield* FtpStandIn.run({ files: new Map([["hello.txt", { bytes: Buffer.from("hello") }]]) })
  yield* print("files", "ftp", ftp.source.config, ftp.source.credentials)

  const sftp = yield* SftpStandIn.run({
    password: "secret",
    method: "password",
    entries: [{ name: "hello.txt", kind: "file", bytes: Buffer.from("hello"), modified: 1_700_000_000 }]
  })
  yield* print("safe", "ftp", sftp.source.config, sftp.source.credentials)

  const receiver = yield* Receiver.make
  receiver.answer = (response, nth) => {
    console.error("webhook", receiver.received[nth]?.body)
    response.writeHead(204).end()
  }
  console.error(receiver.url)

  const until = (isMet: () => boolean) =>
    Effect.repeat(Effect.sync(isMet), { until: (met) => met, schedule: Schedule.spaced("50 millis") })
  yield* until(() => socket.sockets.size > 0)
  slack.workspace.post(channel, "told by an event")
  yield* until(() => socket.acknowledged.length > 0)
  console.error("event")
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(serve))
