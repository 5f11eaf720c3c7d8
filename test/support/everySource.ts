/**
 * Serves a small account of each source on loopback until it is killed. Prints a line for each: its name, its domain,
 * and the config and the credentials to connect with, with tabs between them. `.ci/package` connects the package to
 * them.
 */
import * as Effect from "effect/Effect"
import * as FeedServer from "./FeedServer.ts"
import * as FtpStandIn from "./ftp/FtpStandIn.ts"
import * as SftpStandIn from "./ftp/SftpStandIn.ts"
import * as GmailServer from "./GmailServer.ts"
import * as ImapStandIn from "./imap/ImapStandIn.ts"
import * as SlackServer from "./SlackServer.ts"

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
  slack.workspace.post(slack.workspace.addChannel("general"), "hello")
  yield* print("chat", "slack", { slackApiUrl: slack.url }, { token: slack.token })

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
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(serve))
