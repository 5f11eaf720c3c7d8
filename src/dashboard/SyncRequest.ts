/** The request of the sync dialog. */
import type * as Api from "./Api.ts"

/** The scope of a requested sync: new content, everything again, or these ids. */
export type What = "new" | "all" | "ids"

/** The fields of the dialog: one id a line, and times of `datetime-local` in the browser's time zone. */
interface Fields {
  readonly what: What
  readonly ids: string
  readonly since: string
  readonly until: string
}

/** Returns the ids of a text, one a line. */
export const idsOf = (text: string): ReadonlyArray<string> => [
  ...new Set(
    text
      .split("\n")
      .map((line) => line.replace(/\r$/, ""))
      .filter((line) => line.trim() !== "")
  )
]

/** Converts a local date and time of a field to an instant. */
const instantOf = (text: string): string | undefined => (text === "" ? undefined : new Date(text).toISOString())

/** Makes the request of these fields. A window does not apply to chosen ids. */
export const requestOf = ({ ids, since, until, what }: Fields): Api.SyncRequest => {
  if (what === "ids") return { forceIds: idsOf(ids) }
  const from = instantOf(since)
  const to = instantOf(until)
  return {
    ...(what === "all" ? { force: true } : {}),
    ...(from === undefined ? {} : { since: from }),
    ...(to === undefined ? {} : { until: to })
  }
}
