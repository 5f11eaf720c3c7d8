/** The page of a content: its fields, and its body if it can be shown safely. */
import { useMutation, useQuery } from "@tanstack/preact-query"
import * as Api from "./Api.ts"
import { useRecordRequest } from "./RecentRequests.ts"
import { EmailView } from "./EmailView.tsx"
import * as Format from "./Format.ts"
import { connectionPath, useParameters } from "./Location.ts"
import { MessageView } from "./MessageView.tsx"
import * as MrkdwnView from "./MrkdwnView.tsx"
import { NotFoundPage } from "./Shell.tsx"
import { ExtractedText, MarkdownView, TextView } from "./TextView.tsx"
import { Badge, ErrorNotice, Loading, Notice, Time } from "./Components.tsx"
import * as TextPreview from "./TextPreview.ts"
import * as Labels from "./Labels.ts"

/** A longer text can only be downloaded. */
const longestText = 256_000

/** Picture types that cannot run scripts. SVG can, so it can only be downloaded. */
const pictures = new Set(["image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"])

const Body = ({ content, status }: { readonly content: Api.Content; readonly status: Api.Status }) => {
  const type = TextPreview.typeOf(content)
  if (content.hash === null) return null
  if (type === "message/rfc822") return <EmailView content={content} status={status} />
  if (pictures.has(type)) {
    return (
      <img
        class="picture"
        src={Api.bodyUrl(status.id, content.externalId)}
        alt={content.title ?? `The picture ${content.externalId}`}
      />
    )
  }
  const isText = type.startsWith("text/") || type === "application/json"
  if (content.size <= longestText) {
    if (type === "application/json" && content.kind === "message") {
      return <MessageView content={content} status={status} />
    }
    if (TextPreview.isMarkdown(content)) return <MarkdownView content={content} status={status} />
    if (isText) return <TextView content={content} status={status} />
  }
  return (
    <>
      <p class="quiet-text">
        {isText
          ? "It is too long to be shown here: download it."
          : type === "application/pdf"
            ? "Download the PDF to see its pages. They are not shown here, because browsers do not open PDFs in a sandbox, and the file comes from outside."
            : `A file of ${type === "" ? "unknown type" : `the type ${type}`} is not shown here: download it.`}
      </p>
      {isText || /^(?:audio|font|image|video)\//.test(type) ? null : (
        <ExtractedText content={content} status={status} />
      )}
    </>
  )
}

/** Formats a metadata value as text. */
const valueOf = (value: unknown): string => {
  if (value === null) return "–"
  if (typeof value === "object") {
    const inner = Object.entries(value)
    if (!Array.isArray(value) && inner.length > 0 && inner.every(([, each]) => each === true)) {
      return inner.map(([name]) => name).join(", ")
    }
    return JSON.stringify(value, null, 1)
  }
  return String(value)
}

const Known = ({ content }: { readonly content: Api.Content }) => {
  const facts: ReadonlyArray<readonly [string, preact.ComponentChildren]> = [
    ["Id", <code key="id">{content.externalId}</code>],
    ["Kind", content.kind ?? "–"],
    ["When", <Time key="when" time={content.occurredAt} />],
    ["Size", Format.bytes(content.size)],
    ["Type", content.mediaType ?? "–"],
    ["Revision", content.revision === null ? "–" : <code key="revision">{content.revision}</code>],
    ["SHA-256", content.hash === null ? "–" : <code key="hash">{content.hash}</code>],
    ["First stored", <Time key="created" time={content.createdAt} />],
    ["Last changed", <Time key="updated" time={content.updatedAt} />]
  ]
  const more = [...Object.entries(content.metadata), ...Object.entries(content.volatile)]
  return (
    <section class="panel" aria-labelledby="known">
      <h2 id="known">What is known of it</h2>
      <dl class="pairs">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {more.length === 0 ? null : (
        <details>
          <summary>Metadata of the source ({Format.count(more.length)})</summary>
          <dl class="pairs">
            {more.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd class="value">{valueOf(value)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </section>
  )
}

export const ContentPage = ({ status }: { readonly status: Api.Status }) => {
  const refresh = useRecordRequest(status.id)
  const externalId = useParameters().get("id") ?? ""
  const { data: content, error } = useQuery({
    queryKey: ["connection", status.id, "content", externalId],
    queryFn: (context) => Api.content(status.id, externalId, context),
    enabled: externalId !== ""
  })
  const again = useMutation({
    mutationFn: (content: Api.Content) =>
      content.failure === null
        ? Api.sync(status.id, { forceIds: [externalId] }, crypto.randomUUID())
        : Api.retry(status.id, [externalId]),
    onSuccess: refresh
  })
  const back = (
    <p>
      <a href={`#${connectionPath(status.id, "contents")}`}>All contents</a>
    </p>
  )
  if (externalId === "") return <NotFoundPage />
  if (content === undefined) {
    return error instanceof Api.Problem ? (
      <>
        <ErrorNotice error={error} />
        {back}
      </>
    ) : (
      <Loading what="the content" />
    )
  }
  return (
    <article aria-labelledby="content-title">
      {back}
      <div class="heading">
        <div>
          <h2 id="content-title" class="content-title">
            <MrkdwnView.Title of={content} />
          </h2>
          <p class="sub">
            {Labels.fromOf(content) === "–" ? null : `${Labels.fromOf(content)} · `}
            <Badge tone={Labels.contentTone[content.state] ?? "quiet"}>{content.state}</Badge>{" "}
            <Time time={content.occurredAt} />
          </p>
        </div>
        <div class="buttons">
          {content.hash === null ? null : (
            <a class="button" href={Api.bodyUrl(status.id, content.externalId)} download>
              Download
            </a>
          )}
          <button
            type="button"
            disabled={again.isPending || status.state === "disconnected"}
            onClick={() => again.mutate(content)}
          >
            {content.failure === null ? "Sync again" : "Retry"}
          </button>
        </div>
      </div>
      <ErrorNotice error={again.error} />
      {again.isSuccess ? (
        <Notice tone="good" announced>
          <p>Requested: the content is downloaded again, and stored where it differs.</p>
        </Notice>
      ) : null}
      {content.failure === null ? null : (
        <Notice tone={content.failure.state === "dead" ? "bad" : "warn"} title={Labels.reason(content.failure.reason)}>
          <p>
            {content.failure.message} ({Format.many(content.failure.attempts, "attempt")};{" "}
            {Labels.ledgerState(content.failure.state)})
          </p>
        </Notice>
      )}
      <Body content={content} status={status} />
      <Known content={content} />
    </article>
  )
}
