/** Shows a chat message in its thread: authors, times and texts, oldest first. */
import { useQuery } from "@tanstack/preact-query"
import * as Api from "./Api.ts"
import { Loading, Time } from "./Components.tsx"
import * as Format from "./Format.ts"
import { contentPath } from "./Location.ts"
import * as MrkdwnView from "./MrkdwnView.tsx"

/** The most messages of one thread that are shown. */
const mostMessages = 200

type Json = Readonly<Record<string, unknown>>

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const parsed = (body: string): Json | undefined => {
  try {
    const value: unknown = JSON.parse(body)
    return isJson(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Returns the mrkdwn of a message's body or, if it has none, that of its attachments, which bots use. */
const mrkdwnOf = (body: Json): string | undefined => {
  const attachments = Array.isArray(body["attachments"]) ? body["attachments"].filter(isJson) : []
  const lines = attachments.flatMap(({ fallback, pretext, text, title }) => {
    const own = [pretext, title, text].flatMap((line) => textOf(line) ?? [])
    return own.length > 0 ? own : (textOf(fallback) ?? [])
  })
  return textOf(body["text"]) ?? textOf(lines.join("\n"))
}

/** A message of the thread, or the opened one before its thread is known. */
type Message = Omit<Api.ThreadMessage, "text"> & { readonly text: string | null }

interface MessageProps {
  readonly message: Message
  readonly status: Api.Status
  readonly isOpened: boolean
}

const useBody = (message: Message, status: Api.Status) =>
  useQuery({
    queryKey: ["connection", status.id, "body", message.externalId, message.hash],
    queryFn: (context) => Api.bodyText(status.id, message.externalId, context),
    enabled: message.hash !== null,
    staleTime: Infinity
  }).data

const Author = ({ message, status }: Omit<MessageProps, "isOpened">) => {
  const user = textOf(message.metadata["user"])
  const name = message.from ?? user ?? "nobody"
  if (user === undefined) return <strong>{name}</strong>
  return (
    <a class="author" href={`#${contentPath(status.id, `users/${user}`)}`}>
      {name}
    </a>
  )
}

/** Shows files by their titles, which only the body of the message has. */
const Files = ({ body, message, status }: Omit<MessageProps, "isOpened"> & { readonly body: Json | undefined }) => {
  const files = message.metadata["files"]
  if (!Array.isArray(files) || files.length === 0) return null
  const told = Array.isArray(body?.["files"]) ? body["files"].filter(isJson) : []
  const titleOf = (id: string) => {
    const file = told.find((each) => each["id"] === id)
    return textOf(file?.["title"]) ?? textOf(file?.["name"]) ?? `file ${id}`
  }
  return (
    <ul>
      {files.map(String).map((id) => (
        <li key={id}>
          <a href={`#${contentPath(status.id, `files/${id}`)}`}>{titleOf(id)}</a>
        </li>
      ))}
    </ul>
  )
}

const Reactions = ({ message, status }: Omit<MessageProps, "isOpened">) => {
  const reactions = [message.metadata["reactions"], message.volatile["reactions"]].find(Array.isArray) ?? []
  const shown = reactions.filter(isJson).flatMap(({ count, name }) => {
    const emoji = textOf(name)
    return emoji === undefined ? [] : [`:${emoji}: ${typeof count === "number" ? Format.count(count) : ""}`]
  })
  return shown.length === 0 ? null : (
    <p class="sub">
      <MrkdwnView.Text connection={status.id} names={{}} text={shown.join("  ")} />
    </p>
  )
}

const One = ({ isOpened, message, status }: MessageProps) => {
  const body = useBody(message, status)
  const json = body === undefined ? undefined : parsed(body)
  const mrkdwn = json === undefined ? undefined : mrkdwnOf(json)
  const text = mrkdwn ?? message.text ?? body
  return (
    <li class="message" aria-current={isOpened ? "true" : undefined}>
      <p class="message-head">
        <Author message={message} status={status} />{" "}
        {isOpened ? (
          <Time time={message.occurredAt} />
        ) : (
          <a class="sub-link" href={`#${contentPath(status.id, message.externalId)}`}>
            <Time time={message.occurredAt} />
          </a>
        )}
        {textOf(message.metadata["editedTs"]) === undefined ? null : <span class="quiet-text"> (edited)</span>}
      </p>
      <div class="message-text">
        {mrkdwn !== undefined ? (
          <MrkdwnView.Text connection={status.id} names={message.names} text={mrkdwn} />
        ) : (
          (text ?? <span class="quiet-text">It has no text.</span>)
        )}
      </div>
      <Files body={json} message={message} status={status} />
      <Reactions message={message} status={status} />
    </li>
  )
}

const Source = ({ content, status }: { readonly content: Api.Content; readonly status: Api.Status }) => {
  const body = useBody({ ...content, text: null }, status)
  if (body === undefined) return <Loading what="the message" />
  const json = parsed(body)
  return (
    <details>
      <summary>As the source sent it</summary>
      <pre class="text">{json === undefined ? body : JSON.stringify(json, null, 2)}</pre>
    </details>
  )
}

export const useThread = (content: Api.Content, status: Api.Status) =>
  useQuery({
    queryKey: ["connection", status.id, "thread", content.externalId],
    queryFn: (context) => Api.thread(status.id, content.externalId, mostMessages, context),
    staleTime: 5000,
    // Threads are derived after their messages are stored, so the page repeats the request until this message is in its
    // thread.
    refetchInterval: ({ state: { data } }) =>
      data === undefined ||
      data.length >= mostMessages ||
      data.some(({ externalId }) => externalId === content.externalId)
        ? false
        : 3000
  }).data ?? []

export const MessageView = ({ content, status }: { readonly content: Api.Content; readonly status: Api.Status }) => {
  const thread = useThread(content, status)
  const isIn = thread.some(({ externalId }) => externalId === content.externalId)
  const shown: Message = { ...content, text: null }
  // The newest messages are shown. If this message is not among them, it is older, or the thread is still being
  // derived.
  const isOlder = thread.length >= mostMessages
  const messages: ReadonlyArray<Message> = isIn ? thread : isOlder ? [shown, ...thread] : [...thread, shown]
  const channel = textOf(content.metadata["channel"])
  const [first] = messages
  const name = content.externalId === first?.externalId ? undefined : first?.externalId
  return (
    <section aria-label={messages.length > 1 ? "Thread" : "Message"}>
      {channel === undefined ? null : (
        <p>
          In <a href={`#${contentPath(status.id, `channels/${channel}`)}`}>#{content.in ?? channel}</a>
          {messages.length === 1 ? null : `, a thread of ${Format.many(messages.length, "message")}`}
          {name === undefined ? null : (
            <>
              {" "}
              (<a href={`#${contentPath(status.id, name)}`}>its beginning</a>)
            </>
          )}
        </p>
      )}
      <ol class="thread plain">
        {messages.map((message) => (
          <One
            key={message.externalId}
            message={message}
            status={status}
            isOpened={message.externalId === content.externalId}
          />
        ))}
      </ol>
      {!isOlder ? null : <p class="hint">The newest {Format.count(mostMessages)} messages of the thread are shown.</p>}
      <Source content={content} status={status} />
    </section>
  )
}
