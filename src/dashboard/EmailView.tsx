/**
 * An email in a sandboxed frame: no scripts, no forms, no navigation, nothing loaded. The server renders the page in it
 * (http/rendering/EmailRenderer.ts). Links are listed below with their whole addresses, because nothing in the frame
 * can be followed.
 */
import { useQuery } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { ErrorNotice, Loading, Time } from "./Components.tsx"
import { contentPath } from "./Location.ts"
import { useThread } from "./MessageView.tsx"
import { SandboxedFrame } from "./SandboxedFrame.tsx"

const Headers = ({ email }: { readonly email: Api.Email }) => {
  const lines = [
    { name: "From", value: email.from },
    { name: "To", value: email.to },
    { name: "Cc", value: email.cc },
    {
      name: "Date",
      value: email.date !== null && !Number.isNaN(Date.parse(email.date)) ? Format.time(email.date) : email.date
    }
  ]
  return (
    <dl class="pairs">
      {lines.map(({ name, value }) =>
        value === null || value === "" ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        )
      )}
    </dl>
  )
}

interface AttachmentsProps {
  readonly email: Api.Email
  readonly externalId: string
  readonly status: Api.Status
}

const Attachments = ({ email, externalId, status }: AttachmentsProps) =>
  email.attachments.length === 0 ? null : (
    <section aria-labelledby="attachments">
      <h3 id="attachments">Attachments</h3>
      <ul class="attachments plain">
        {email.attachments.map(({ mediaType, name, part, size }) => (
          <li key={part}>
            <a href={Api.emailPartUrl(status.id, externalId, part)} download>
              {name}
            </a>
            <span class="sub">
              {mediaType} · {Format.bytes(size)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  )

const Links = ({ email }: { readonly email: Api.Email }) =>
  email.links.length === 0 ? null : (
    <details>
      <summary>{Format.many(email.links.length, "link")} in this email</summary>
      <p class="hint">
        Nothing in the email itself can be clicked. A link opens in a new tab, which learns nothing of this one.
      </p>
      <ul class="links">
        {email.links.map(({ text, url }) => (
          <li key={url}>
            {text === "" || text === url ? null : <>{text}: </>}
            <a href={url} target="_blank" rel="noopener noreferrer">
              {url}
            </a>
          </li>
        ))}
      </ul>
    </details>
  )

/** The other emails of the conversation. */
const Conversation = ({ content, status }: { readonly content: Api.Content; readonly status: Api.Status }) => {
  const thread = useThread(content, status)
  if (thread.length < 2) return null
  return (
    <section aria-labelledby="conversation">
      <h3 id="conversation">Conversation</h3>
      <ol class="conversation">
        {thread.map((message) => (
          <li key={message.externalId} aria-current={message.externalId === content.externalId ? "true" : undefined}>
            <a href={`#${contentPath(status.id, message.externalId)}`}>{message.title ?? message.externalId}</a>
            <span class="sub">
              {message.from} · <Time time={message.occurredAt} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  )
}

export const EmailView = ({ content, status }: { readonly content: Api.Content; readonly status: Api.Status }) => {
  const [plain, setPlain] = useState(false)
  const { externalId } = content
  const { data: email, error } = useQuery({
    queryKey: ["connection", status.id, "email", externalId, content.hash],
    queryFn: (context) => Api.emailParts(status.id, externalId, context),
    staleTime: Infinity
  })
  if (error instanceof Api.Problem) return <ErrorNotice error={error} />
  if (email === undefined) return <Loading what="the email" />
  const as = plain || !email.html ? "text" : "html"
  return (
    <div class="email">
      <Headers email={email} />
      {email.blocked === 0 && !(email.html && email.text) ? null : (
        <p class="email-bar">
          {email.blocked === 0 ? null : (
            <span>
              {Format.many(email.blocked, "picture or style", "pictures and styles")} from elsewhere{" "}
              {email.blocked === 1 ? "was" : "were"} left out: loading {email.blocked === 1 ? "it" : "them"} would tell
              the sender that you read this.
            </span>
          )}
          {email.html && email.text ? (
            <button type="button" onClick={() => setPlain(!plain)}>
              {plain ? "Show as HTML" : "Show as plain text"}
            </button>
          ) : null}
        </p>
      )}
      <SandboxedFrame
        key={as}
        title={`The email: ${content.title ?? externalId}`}
        src={Api.emailUrl(status.id, externalId, as)}
      />
      <Attachments email={email} externalId={externalId} status={status} />
      <Links email={email} />
      <Conversation content={content} status={status} />
    </div>
  )
}
