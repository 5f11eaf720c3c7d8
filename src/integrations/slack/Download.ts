/** Downloads an item by its external id alone: for files, forced ids and the ledger. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Announced, Content } from "../../contract/Content.ts"
import { Forbidden, Gone, IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import { json } from "./CanonicalJson.ts"
import type { Client } from "./Client.ts"
import { tooLarge } from "./Errors.ts"
import * as Message from "./Message.ts"
import { mayHide } from "./PlanLimit.ts"
import { Messages } from "./Thread.ts"

const FileAnswer = Schema.Struct({ file: Schema.Unknown })
const UserAnswer = Schema.Struct({ user: Schema.Unknown })
const ChannelAnswer = Schema.Struct({ channel: Schema.Unknown })

const isFile = Schema.is(Message.File)

const gone = (id: string) => new IntegrationError({ reason: new Gone({ message: `Slack has ${id} no longer` }) })
const hidden = (id: string, why: string) =>
  new IntegrationError({ reason: new Forbidden({ message: `Slack does not show ${id}: ${why}` }) })
const unreadable = (id: string) =>
  new IntegrationError({ reason: new Malformed({ message: `Slack's answer for ${id} can't be read` }) })

/**
 * Returns the certain properties of a file's bytes. Slack's size is the number of uploaded bytes
 * (42wim/matterbridge#656). Posts, canvases and emails are served in another form than they are stored in, so nothing
 * is certain for them.
 */
const announced = ({ mimetype, mode, size }: Message.File): Announced => {
  const isUpload = mode === undefined || mode === null || mode === "hosted" || mode === "snippet"
  return isUpload ? { size: size ?? undefined, mediaType: mimetype ?? undefined } : {}
}

export const make = (options: { readonly client: Client; readonly maxFileSize: number }) => {
  const { client } = options

  /**
   * Reads a message. A parent comes from `conversations.history`, a reply from `conversations.replies`, and the id does
   * not show which it is. A history that is bounded above by the `ts` returns the parent itself, or an older message;
   * then the id is a reply, or gone. If it returns nothing, a free plan may hide the message (see PlanLimit.ts).
   */
  const message = Effect.fnUntraced(function* (id: string, channel: string, ts: string) {
    const find = (messages: ReadonlyArray<unknown>) =>
      messages.filter((one) => Message.isMessage(one)).find((one) => one.ts === ts)
    const parents = yield* client.request(
      "conversations.history",
      { channel, latest: ts, inclusive: true, limit: 1 },
      Messages
    )
    let found = find(parents.messages)
    if (found === undefined) {
      const replies = yield* Effect.catchIf(
        client.request(
          "conversations.replies",
          { channel, ts, latest: ts, oldest: ts, inclusive: true, limit: 10 },
          Messages
        ),
        (error) => error.reason._tag === "Gone",
        () => Effect.succeed({ messages: [] })
      )
      found = find(replies.messages)
    }
    if (found === undefined) {
      const isHidden =
        parents.is_limited === true || (parents.messages.length === 0 && mayHide(ts, yield* Clock.currentTimeMillis))
      return yield* isHidden ? hidden(id, "a free plan hides messages older than 90 days") : gone(id)
    }
    if (Message.isTombstone(found)) return yield* gone(id)
    const content = Message.messageContent(channel, found)
    // The revision of a thread's parent states that its replies are stored, which this download does not do: only a
    // listing sets it.
    return Message.hasThread(found) ? content : { ...content, revision: Message.revisionOf(found) }
  })

  const file = Effect.fnUntraced(function* (id: string, fileId: string) {
    const answer = yield* client.request("files.info", { file: fileId }, FileAnswer)
    if (!isFile(answer.file)) return yield* unreadable(id)
    const info = answer.file
    if (Message.isDeletedFile(info)) return yield* gone(id)
    if (Message.isWithheldFile(info)) return yield* hidden(id, info.mode ?? info.file_access ?? "withheld")
    const url = info.url_private_download ?? info.url_private
    // A file on another host (a linked document) has no bytes at Slack, and that host must not get the token.
    if (info.is_external === true || info.mode === "external" || typeof url !== "string" || !client.takesToken(url)) {
      return Message.fileContent(info, json(info), "application/json")
    }
    if (typeof info.size === "number" && info.size > options.maxFileSize) {
      return yield* tooLarge(fileId, info.size, options.maxFileSize)
    }
    const mediaType = info.mimetype ?? undefined
    const body = client.bytes({ id: fileId, url, mediaType }, options.maxFileSize)
    return { ...Message.fileContent(info, body, mediaType), announced: announced(info) }
  })

  return Effect.fn("Slack.download")(function* (id: string): Effect.fn.Return<Content, IntegrationError> {
    const [head = "", ...tail] = id.split("/")
    const name = tail.join("/")
    // Only a person requests an id of another form.
    if (head === "" || name === "" || tail.length > 1) return yield* gone(id)
    if (head === "files") return yield* file(id, name)
    if (head === "users") {
      const answer = yield* client.request("users.info", { user: name }, UserAnswer)
      if (!Message.isUser(answer.user)) return yield* unreadable(id)
      return { ...Message.userContent(answer.user), revision: Message.userRef(answer.user).revision }
    }
    if (head === "channels") {
      const answer = yield* client.request("conversations.info", { channel: name }, ChannelAnswer)
      if (!Message.isChannel(answer.channel)) return yield* unreadable(id)
      return { ...Message.channelContent(answer.channel), revision: Message.channelRef(answer.channel).revision }
    }
    return yield* message(id, head, name)
  })
}
