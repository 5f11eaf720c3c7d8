/** Shows the text of a content: unchanged, as a table, as a page in a frame, or as extracted from the file. */
import { useInfiniteQuery, useQuery } from "@tanstack/preact-query"
import * as Api from "./Api.ts"
import { ErrorNotice, Loading } from "./Components.tsx"
import * as Format from "./Format.ts"
import { SandboxedFrame } from "./SandboxedFrame.tsx"
import * as TextPreview from "./TextPreview.ts"

interface Props {
  readonly content: Api.Content
  readonly status: Api.Status
}

const Table = ({ rows }: { readonly rows: ReadonlyArray<ReadonlyArray<string>> }) => (
  <>
    {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reached by keyboard */}
    <div class="text" tabIndex={0} role="region" aria-label="The rows of this content">
      <table>
        <tbody>
          {rows.map((row, index) => (
            // oxlint-disable-next-line react/no-array-index-key -- rows have no other name
            <tr key={index}>
              {row.map((cell, column) => (
                // oxlint-disable-next-line react/no-array-index-key -- nor have cells
                <td key={column}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
    {rows.length < TextPreview.mostRows ? null : (
      <p class="hint">The first {Format.count(TextPreview.mostRows)} rows are shown.</p>
    )}
  </>
)

const separators: Readonly<Record<string, "," | "\t">> = { "text/csv": ",", "text/tab-separated-values": "\t" }

export const TextView = ({ content, status }: Props) => {
  const { data, error } = useQuery({
    queryKey: ["connection", status.id, "body", content.externalId, content.hash],
    queryFn: (context) => Api.bodyText(status.id, content.externalId, context),
    staleTime: Infinity
  })
  if (error instanceof Api.Problem) return <ErrorNotice error={error} />
  if (data === undefined) return <Loading what="the text" />
  const type = TextPreview.typeOf(content)
  const separator = separators[type]
  const rows = separator === undefined ? undefined : TextPreview.rowsOf(data, separator)
  if (rows !== undefined) return <Table rows={rows} />
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reached by keyboard
    <pre class="text" tabIndex={0} aria-label="The text of this content">
      {type === "application/json" ? TextPreview.indented(data) : data}
    </pre>
  )
}

/** Shows Markdown that the server has turned into harmless HTML. */
export const MarkdownView = ({ content, status }: Props) => (
  <section aria-label="The text of this content">
    <SandboxedFrame
      title={`The text: ${content.title ?? content.externalId}`}
      src={Api.markdownUrl(status.id, content.externalId)}
    />
    <p class="hint">Nothing in it can be clicked. A link shows its address when you point at it.</p>
  </section>
)

/**
 * Shows the text of a PDF or an Office file. The file itself is not shown: browsers do not open their PDF viewers in a
 * sandbox, and outside of one, a fault of the viewer would give the file the rights of this page.
 */
export const ExtractedText = ({ content, status }: Props) => {
  const query = useInfiniteQuery({
    queryKey: ["connection", status.id, "text", content.externalId, content.hash],
    queryFn: (context) => Api.extractedText(status.id, content.externalId, context.pageParam, context),
    initialPageParam: 0,
    getNextPageParam: ({ next }) => next ?? undefined,
    staleTime: 5000
  })
  if (query.error instanceof Api.Problem) return null
  if (query.data === undefined) return <Loading what="the text" />
  const text = query.data.pages.map((page) => page.text ?? "").join("")
  if (text === "") return <p class="quiet-text">No text could be read from it.</p>
  return (
    <section aria-labelledby="extracted">
      <h3 id="extracted">Its text, as Idem has read it</h3>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reached by keyboard */}
      <pre class="text" tabIndex={0} aria-label="The text of this content">
        {text}
      </pre>
      {query.hasNextPage ? (
        <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {query.isFetchingNextPage ? "Loading…" : "Show more"}
        </button>
      ) : null}
    </section>
  )
}
