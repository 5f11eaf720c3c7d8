/** The stored contents of a connection, newest first, page by page. */
import { useInfiniteQuery } from "@tanstack/preact-query"
import { useId, useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { connectionPath, contentPath, navigate, useParameters } from "./Location.ts"
import { AppliedInput, Badge, CardTable, DateFilter, Empty, ErrorNotice, Loading, More, Time } from "./Components.tsx"
import * as Labels from "./Labels.ts"
import * as MrkdwnView from "./MrkdwnView.tsx"

const states = ["stored", "failed", "dead", "deferred", "gone", "deleted"]

const Row = ({ row, status }: { readonly row: Api.ContentRow; readonly status: Api.Status }) => (
  <tr role="row">
    <th role="rowheader" scope="row" data-label="Title" class="title-cell">
      <a href={`#${contentPath(status.id, row.externalId)}`}>
        <MrkdwnView.Title of={row} />
      </a>
      {row.title === null ? null : <span class="sub id">{row.externalId}</span>}
    </th>
    <td role="cell" data-label="From" class="from-cell">
      {Labels.fromOf(row)}
    </td>
    <td role="cell" data-label="Kind">
      {row.kind ?? "–"}
      {row.state === "stored" ? null : (
        <>
          {" "}
          <Badge tone={Labels.contentTone[row.state] ?? "quiet"}>{row.state}</Badge>
        </>
      )}
    </td>
    <td role="cell" data-label="When" class="nowrap">
      <Time time={row.occurredAt} />
    </td>
    <td role="cell" data-label="Size" class="number nowrap">
      {Format.bytes(row.size)}
    </td>
  </tr>
)

interface FilterProps {
  readonly kinds: ReadonlyArray<string>
  readonly status: Api.Status
  readonly at: URLSearchParams
}

const Filter = ({ at, kinds, status }: FilterProps) => {
  const id = useId()
  const [text, setText] = useState(at.get("text") ?? "")
  const apply = (changes: Readonly<Record<string, string>>) => {
    const next = { ...Object.fromEntries(at), text, ...changes }
    navigate(connectionPath(status.id, "contents", next), { replace: true })
  }
  return (
    <search>
      <form
        class="filter"
        onSubmit={(event) => {
          event.preventDefault()
          apply({})
        }}
      >
        <label class="grow">
          Text in the title
          <input
            type="search"
            value={text}
            maxLength={1000}
            onInput={(event) => setText(event.currentTarget.value)}
            onChange={() => apply({})}
          />
        </label>
        <label>
          Kind
          <AppliedInput
            list={id}
            applied={at.get("kind") ?? ""}
            placeholder="any"
            size={10}
            onApply={(kind) => apply({ kind: kind.trim() })}
          />
          <datalist id={id}>
            {kinds.map((kind) => (
              <option key={kind} value={kind} />
            ))}
          </datalist>
        </label>
        <label>
          State
          <select value={at.get("state") ?? "stored"} onChange={(event) => apply({ state: event.currentTarget.value })}>
            {states.map((state) => (
              <option key={state} value={state}>
                {state}
              </option>
            ))}
          </select>
        </label>
        <DateFilter at={at} onChange={apply} />
        <button type="submit">Find</button>
      </form>
    </search>
  )
}

export const ContentsPage = ({ status }: { readonly status: Api.Status }) => {
  const at = useParameters()
  const filter: Api.ContentFilter = Object.fromEntries(
    ["state", "kind", "text", "since", "until"].flatMap((name) => {
      const value = at.get(name)
      return value === null || value === "" ? [] : [[name, value] as const]
    })
  )
  const query = useInfiniteQuery({
    queryKey: ["connection", status.id, "contents", filter],
    queryFn: (context) => Api.contents(status.id, filter, context.pageParam, context),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }) => next ?? undefined,
    staleTime: 10_000
  })
  const rows = query.data?.pages.flatMap(({ contents }) => contents)
  const kinds = [...new Set(["message", "file", ...(rows ?? []).flatMap(({ kind }) => (kind === null ? [] : [kind]))])]
  const isFiltered = Object.keys(filter).length > 0
  return (
    <section aria-labelledby="contents">
      <h2 id="contents" class="hidden">
        Contents
      </h2>
      <Filter key={at.get("text") ?? ""} at={at} kinds={kinds} status={status} />
      {query.error instanceof Api.Problem ? <ErrorNotice error={query.error} /> : null}
      {rows === undefined ? (
        query.error instanceof Api.Problem ? null : (
          <Loading what="what is stored" />
        )
      ) : rows.length === 0 ? (
        isFiltered ? (
          <Empty title="Nothing fits">
            <p>
              <a href={`#${connectionPath(status.id, "contents")}`}>Show all that is stored</a>
            </p>
          </Empty>
        ) : (
          <Empty title="Nothing is stored yet">
            <p>
              {status.state === "running"
                ? "A run is under way: what it stores is listed here."
                : "The next poll brings what there is, or “Sync…” at once."}
            </p>
          </Empty>
        )
      ) : (
        <>
          <CardTable
            class="contents"
            label="What is stored"
            columns={["Title", "From", "Kind", "When", "Size"]}
            numbers={["Size"]}
          >
            {rows.map((row) => (
              <Row key={row.externalId} row={row} status={status} />
            ))}
          </CardTable>
          <More shown={rows.length} query={query} />
        </>
      )}
    </section>
  )
}
