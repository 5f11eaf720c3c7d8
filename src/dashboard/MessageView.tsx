/** A message of a source that stores JSON, such as Slack: its text, its author and its thread. */
import { useQuery } from "@tanstack/preact-query"
import * as Api from "./Api.ts"
import { contentPath } from "./Location.ts"
import { ErrorNotice, Loading } from "./Components.tsx"

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

const parsed = (body: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined
  } catch {
    return undefined
  }
}

export const MessageView = ({ content, status }: { readonly content: Api.Content; readonly status: Api.Status }) => {
  const { data, error } = useQuery({
    queryKey: ["connection", status.id, "body", content.externalId, content.hash],
    queryFn: (context) => Api.bodyText(status.id, content.externalId, context),
    staleTime: Infinity
  })
  if (error instanceof Api.Problem) return <ErrorNotice error={error} />
  if (data === undefined) return <Loading what="the message" />
  const message = parsed(data)
  const text = textOf(message?.["text"])
  const { channel, files, threadTs, user } = content.metadata as Readonly<Record<string, unknown>>
  const thread = textOf(threadTs)
  const place = textOf(channel)
  return (
    <div class="message">
      <p class="quiet-text">
        {textOf(user) === undefined ? null : (
          <>
            by <a href={`#${contentPath(status.id, `users/${String(user)}`)}`}>{String(user)}</a>{" "}
          </>
        )}
        {place === undefined ? null : (
          <>
            in <a href={`#${contentPath(status.id, `channels/${place}`)}`}>{place}</a>{" "}
          </>
        )}
        {thread === undefined || place === undefined ? null : (
          <>
            in the thread <a href={`#${contentPath(status.id, `${place}/${thread}`)}`}>{thread}</a>
          </>
        )}
      </p>
      {text === undefined ? <p class="quiet-text">It has no text.</p> : <div class="message-text">{text}</div>}
      {Array.isArray(files) && files.length > 0 ? (
        <ul>
          {files.map((file) => (
            <li key={String(file)}>
              <a href={`#${contentPath(status.id, `files/${String(file)}`)}`}>file {String(file)}</a>
            </li>
          ))}
        </ul>
      ) : null}
      <details>
        <summary>As the source sent it</summary>
        <pre class="text">{message === undefined ? data : JSON.stringify(message, null, 2)}</pre>
      </details>
    </div>
  )
}
