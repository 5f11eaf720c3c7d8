/** Components of all pages. */
import type { ComponentChildren, InputHTMLAttributes } from "preact"
import { useEffect, useId, useState } from "preact/hooks"
import * as Format from "./Format.ts"
import type { Tone } from "./Labels.ts"

/** True while an opened page has no heading yet. */
let isAwaited = false

/** Moves the focus to the heading of the opened page, as soon as it has one. */
export const focusTitle = (): void => {
  const title = document.getElementById("title")
  isAwaited = title === null
  title?.focus({ preventScroll: true })
}

/** The page's heading. */
export const Title = ({ children, name }: { readonly children?: ComponentChildren; readonly name: string }) => {
  useEffect(() => {
    document.title = `${name} · Idem`
  }, [name])
  useEffect(() => {
    if (isAwaited) focusTitle()
  }, [])
  return (
    <h1 id="title" tabIndex={-1}>
      {children ?? name}
    </h1>
  )
}

export const Badge = ({ children, tone }: { readonly children: ComponentChildren; readonly tone: Tone }) => (
  <span class={`badge ${tone}`}>{children}</span>
)

/** Returns the present time, updated at this interval in milliseconds. */
const useNow = (every: number): number => {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}

/** Shows a time relative to now, with the full time as a tooltip. */
export const Ago = ({ time }: { readonly time: string | null }) => {
  const now = useNow(10_000)
  if (time === null) return <>–</>
  return (
    <time dateTime={time} title={Format.timeInFull(time)}>
      {Format.ago(time, now)}
    </time>
  )
}

export const Time = ({ time }: { readonly time: string | null }) =>
  time === null ? (
    <>–</>
  ) : (
    <time dateTime={time} title={Format.timeInFull(time)}>
      {Format.time(time)}
    </time>
  )

interface NoticeProps {
  readonly tone: Tone
  readonly title?: string
  readonly children?: ComponentChildren
  /** True if screen readers announce it as soon as it appears. */
  readonly announced?: boolean
}

export const Notice = ({ announced, children, title, tone }: NoticeProps) => (
  <div class={`notice ${tone}`} role={announced === true ? (tone === "bad" ? "alert" : "status") : undefined}>
    {title === undefined ? null : <p class="notice-title">{title}</p>}
    {children}
  </div>
)

/** Shows the error of a person's request. */
export const ErrorNotice = ({ error }: { readonly error: Error | null }) =>
  error === null ? null : (
    <Notice tone="bad" announced>
      <p>{error.message}</p>
    </Notice>
  )

/** The placeholder of an empty list: why it is empty, and what to do. */
export const Empty = ({ children, title }: { readonly children?: ComponentChildren; readonly title: string }) => (
  <div class="empty">
    <p class="empty-title">{title}</p>
    {children}
  </div>
)

export const Loading = ({ what }: { readonly what: string }) => (
  <p class="loading" role="status">
    Loading {what}…
  </p>
)

/** Shows a text with a button that copies it. */
export const Copyable = ({ text }: { readonly text: string }) => {
  const [isCopied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(text)
    setCopied(true)
  }
  return (
    <span class="copy">
      <code>{text}</code>
      {/* Browsers allow access to the clipboard only for secure origins. */}
      {isSecureContext ? (
        <button type="button" onClick={() => void copy()}>
          {isCopied ? "Copied" : "Copy"}
        </button>
      ) : null}
    </span>
  )
}

interface FieldProps {
  readonly label: string
  readonly hint?: ComponentChildren
  readonly error?: string | undefined
  readonly children: (attributes: {
    readonly id: string
    readonly "aria-describedby": string | undefined
    readonly "aria-invalid": boolean | undefined
  }) => ComponentChildren
}

/** A labelled field with its hint and its error. */
export const Field = ({ children, error, hint, label }: FieldProps) => {
  const id = useId()
  const described = [hint === undefined ? "" : `${id}-hint`, error === undefined ? "" : `${id}-error`]
    .filter((each) => each !== "")
    .join(" ")
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({
        id,
        "aria-describedby": described === "" ? undefined : described,
        "aria-invalid": error === undefined ? undefined : true
      })}
      {error === undefined ? null : (
        <p class="field-error" id={`${id}-error`}>
          {error}
        </p>
      )}
      {hint === undefined ? null : (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  )
}

interface CardTableProps {
  readonly label: string
  readonly columns: ReadonlyArray<string>
  /** Columns whose heading is aligned like their numbers. */
  readonly numbers?: ReadonlyArray<string>
  /** Columns whose heading only a screen reader needs. */
  readonly unlabelled?: ReadonlyArray<string>
  readonly class?: string
  readonly children: ComponentChildren
}

/**
 * A table whose rows become cards on a narrow page. There, browsers no longer treat its parts as a table, so each part
 * names its role; rows and cells have to name theirs too.
 */
export const CardTable = (props: CardTableProps) => (
  <table class={`cards ${props.class ?? ""}`} role="table" aria-label={props.label}>
    <thead role="rowgroup">
      <tr role="row">
        {props.columns.map((name) => (
          <th
            key={name}
            role="columnheader"
            scope="col"
            class={props.numbers?.includes(name) === true ? "number" : undefined}
          >
            {props.unlabelled?.includes(name) === true ? <span class="hidden">{name}</span> : name}
          </th>
        ))}
      </tr>
    </thead>
    <tbody role="rowgroup">{props.children}</tbody>
  </table>
)

interface ChooseCellProps {
  readonly name: string
  readonly chosen: boolean
  readonly onChoose: (chosen: boolean) => void
}

/** The cell with which a row is selected. */
export const ChooseCell = ({ chosen, name, onChoose }: ChooseCellProps) => (
  <td role="cell" data-label="Choose">
    <input
      type="checkbox"
      aria-label={`Choose ${name}`}
      checked={chosen}
      onChange={(event) => onChoose(event.currentTarget.checked)}
    />
  </td>
)

interface AppliedInputProps extends Omit<InputHTMLAttributes<HTMLInputElement>, "value" | "onInput" | "onChange"> {
  /** The value that applies now. */
  readonly applied: string
  readonly onApply: (value: string) => void
}

/**
 * A field of a filter. It keeps the typed text while the page is updated, and applies it when the person leaves the
 * field or presses Enter.
 */
export const AppliedInput = ({ applied, onApply, ...attributes }: AppliedInputProps) => {
  const [value, setValue] = useState(applied)
  useEffect(() => setValue(applied), [applied])
  return (
    <input
      {...attributes}
      value={value}
      onInput={(event) => setValue(event.currentTarget.value)}
      onChange={(event) => onApply(event.currentTarget.value)}
    />
  )
}

/** Returns the date of an instant in the URL, for a field. */
const dayOf = (instant: string | null): string => (instant ?? "").slice(0, 10)

interface DateFilterProps {
  /** The parameters of the URL. */
  readonly at: URLSearchParams
  readonly onChange: (changes: Readonly<Record<string, string>>) => void
}

/** The fields of a filter for the dates `since` (inclusive) and `until` (exclusive). */
export const DateFilter = ({ at, onChange }: DateFilterProps) => (
  <>
    <label>
      From
      <AppliedInput type="date" applied={dayOf(at.get("since"))} onApply={(since) => onChange({ since })} />
    </label>
    <label>
      To before
      <AppliedInput type="date" applied={dayOf(at.get("until"))} onApply={(until) => onChange({ until })} />
    </label>
  </>
)

interface MoreProps {
  readonly shown: number
  readonly query: { readonly hasNextPage: boolean; readonly isFetchingNextPage: boolean; fetchNextPage: () => unknown }
}

/** Shows how many rows are displayed, and loads the next page. */
export const More = ({ query, shown }: MoreProps) => (
  <p class="more">
    <span role="status">
      {Format.count(shown)} shown{query.hasNextPage ? "" : ", that is all"}.
    </span>{" "}
    {query.hasNextPage ? (
      <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {query.isFetchingNextPage ? "Loading…" : "Show more"}
      </button>
    ) : null}
  </p>
)
