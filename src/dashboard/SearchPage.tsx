/** The results of a search, best first, page by page. */
import { useInfiniteQuery, useQuery } from "@tanstack/preact-query"
import { Fragment } from "preact"
import * as Api from "./Api.ts"
import * as MrkdwnView from "./MrkdwnView.tsx"
import { contentPath, navigate, searchPath, useParameters } from "./Location.ts"
import { AppliedInput, DateFilter, Empty, ErrorNotice, Loading, More, Time, Title } from "./Components.tsx"

/** Shows the snippet as text, with its words marked. It is never interpreted as HTML. */
const Snippet = ({ highlights, snippet }: Pick<Api.SearchResult, "highlights" | "snippet">) => {
  if (snippet === null || snippet === "") return null
  const ends = [0, ...highlights.map(([, end]) => end)]
  return (
    <p class="snippet">
      {highlights.map(([start, end], index) => (
        <Fragment key={start}>
          {snippet.slice(ends[index], start)}
          <mark>{snippet.slice(start, end)}</mark>
        </Fragment>
      ))}
      {snippet.slice(ends.at(-1))}
    </p>
  )
}

const Result = ({ result }: { readonly result: Api.SearchResult }) => (
  <li class="result">
    <h2>
      <a href={`#${contentPath(result.connectionId, result.externalId)}`}>
        <MrkdwnView.Title of={result} />
      </a>
    </h2>
    <p class="sub">
      {[result.from, result.in === null ? null : `#${result.in}`, result.connection, result.kind]
        .filter((each) => each !== null && each !== "")
        .join(" · ")}
      {result.occurredAt === null ? null : (
        <>
          {" · "}
          <Time time={result.occurredAt} />
        </>
      )}
    </p>
    <Snippet highlights={result.highlights} snippet={result.snippet} />
  </li>
)

const kinds = ["message", "file", "channel", "user"]

const Filter = ({ at }: { readonly at: URLSearchParams }) => {
  const { data } = useQuery({ queryKey: ["connections"], queryFn: Api.connections, staleTime: 60_000 })
  const chosen = at.get("connection") ?? ""
  const apply = (changes: Readonly<Record<string, string>>) =>
    navigate(searchPath({ ...Object.fromEntries(at), ...changes }), { replace: true })
  return (
    <search aria-label="Filters">
      <form class="filter" onSubmit={(event) => event.preventDefault()}>
        <label class="grow">
          Connection
          <select value={chosen} onChange={(event) => apply({ connection: event.currentTarget.value })}>
            <option value="">all</option>
            {(data ?? []).map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Kind
          <select value={at.get("kind") ?? ""} onChange={(event) => apply({ kind: event.currentTarget.value })}>
            <option value="">any</option>
            {kinds.map((kind) => (
              <option key={kind} value={kind}>
                {kind}
              </option>
            ))}
          </select>
        </label>
        <label>
          Sender
          <AppliedInput
            applied={at.get("from") ?? ""}
            placeholder="anyone"
            maxLength={300}
            onApply={(from) => apply({ from: from.trim() })}
          />
        </label>
        <DateFilter at={at} onChange={apply} />
      </form>
    </search>
  )
}

const filters = ["connection", "kind", "from", "since", "until"]

const Help = () => (
  <p>
    Words, <code>"phrases"</code>, <code>-excluded</code>, <code>OR</code>, and fields: <code>from:ann</code>,{" "}
    <code>to:</code>, <code>subject:</code>, <code>in:general</code>, <code>label:inbox</code>,{" "}
    <code>filename:report</code>, <code>has:attachment</code>, <code>after:2026-01-31</code>, <code>before:</code>,{" "}
    <code>is:deleted</code>.
  </p>
)

export const SearchPage = () => {
  const at = useParameters()
  const q = at.get("q") ?? ""
  const filter = Object.fromEntries(
    filters.flatMap((name) => {
      const value = at.get(name)
      return value === null || value === "" ? [] : [[name, value] as const]
    })
  )
  const query = useInfiniteQuery({
    queryKey: ["search", q, filter],
    queryFn: (context) => Api.search({ ...filter, q }, context.pageParam, context),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }) => next ?? undefined,
    staleTime: 10_000
  })
  const results = query.data?.pages.flatMap((page) => page.results)
  return (
    <section aria-labelledby="title" class="results">
      <Title name={q === "" ? "Search" : `Search: ${q}`} />
      <Filter key={filters.map((name) => at.get(name)).join()} at={at} />
      {query.error instanceof Api.Problem ? (
        <ErrorNotice error={query.error} />
      ) : results === undefined ? (
        <Loading what="what was found" />
      ) : results.length === 0 ? (
        <Empty title="Nothing found">
          <Help />
        </Empty>
      ) : (
        <>
          <ol class="plain">
            {results.map((result) => (
              <Result key={`${result.connectionId} ${result.externalId}`} result={result} />
            ))}
          </ol>
          <More shown={results.length} query={query} />
        </>
      )}
    </section>
  )
}
