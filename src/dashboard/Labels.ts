/** Labels of states and reasons, and advice on what to do next. */
import type { pausedByPerson, retiredPrefix } from "../engine/model/Connection.ts"
import type { Connection, ContentRow, LedgerRow, Run, Status, Webhook, WebhookMessage } from "./Api.ts"
import * as Format from "./Format.ts"

/** The colour of a state. */
export type Tone = "good" | "busy" | "warn" | "bad" | "quiet"

const reasons: Readonly<Record<string, string>> = {
  Unauthorized: "the source refused the credentials",
  RateLimited: "the source asked for patience",
  Transient: "the source did not answer as it should",
  CheckpointExpired: "the source no longer knows where we were",
  Gone: "the source says that it is not there",
  Forbidden: "we may not read it",
  TooLarge: "it is larger than a limit allows",
  Malformed: "the source's answer can't be read",
  Unsettled: "it was changing while it was read",
  Timeout: "the source took too long",
  Config: "what is stored for the connection no longer fits",
  CountsDontAddUp: "the run's counts don't add up",
  TooManyFailures: "too many items failed",
  Superseded: "another run took over",
  StoreError: "the database did not answer",
  Stalled: "the run made no progress",
  Defect: "a fault in Idem or in the integration"
}

/** Formats a reason as the beginning of a sentence. Unknown reasons stay unchanged. */
export const reason = (name: string): string => {
  const text = reasons[name] ?? name
  return text.charAt(0).toUpperCase() + text.slice(1)
}

const states: Readonly<Record<Connection["state"], { readonly text: string; readonly tone: Tone }>> = {
  running: { text: "Running", tone: "busy" },
  idle: { text: "Idle", tone: "good" },
  paused: { text: "Paused", tone: "warn" },
  disconnected: { text: "Disconnected", tone: "quiet" }
}

const byPerson: typeof pausedByPerson = "by a person"

/** Returns true if the connection waits for a person, except after a pause by a person. */
const retired: typeof retiredPrefix = "retired: "

const isStuck = ({ paused }: Connection): boolean =>
  paused !== null && paused !== byPerson && !paused.startsWith(retired)

export const stateOf = (connection: Connection): { readonly text: string; readonly tone: Tone } =>
  connection.state === "idle" && connection.failures > 0
    ? { text: "Idle, failing", tone: "bad" }
    : states[connection.state]

export const runStatus: Readonly<Record<Run["status"], { readonly text: string; readonly tone: Tone }>> = {
  running: { text: "Running", tone: "busy" },
  succeeded: { text: "Succeeded", tone: "good" },
  partial: { text: "Partial", tone: "warn" },
  failed: { text: "Failed", tone: "bad" },
  interrupted: { text: "Interrupted", tone: "warn" }
}

export const contentTone: Readonly<Record<string, Tone>> = {
  stored: "good",
  failed: "warn",
  dead: "bad",
  deferred: "busy",
  gone: "quiet",
  deleted: "quiet"
}

const ledgerMeaning: Readonly<Record<LedgerRow["state"], string>> = {
  failed: "will be tried again by itself",
  dead: "not tried again by itself: retry it by hand",
  deferred: "due at the next poll"
}

export const ledgerState = (state: LedgerRow["state"]): string => ledgerMeaning[state]

export const webhookState: Readonly<Record<Webhook["state"], { readonly text: string; readonly tone: Tone }>> = {
  active: { text: "Active", tone: "good" },
  paused: { text: "Paused", tone: "warn" },
  disabled: { text: "Disabled", tone: "bad" }
}

export const messageTone: Readonly<Record<WebhookMessage["state"], Tone>> = {
  pending: "busy",
  delivered: "good",
  dead: "bad"
}

/** Describes the outcome of a run in one line. */
export const outcome = (run: Run): string => {
  const parts = (
    [
      ["stored", run.stored],
      ["updated", run.updated],
      ["unchanged", run.unchanged],
      ["failed", run.failed],
      ["deleted", run.deleted],
      ["patched", run.patched]
    ] as const
  ).flatMap(([word, value]) => (value === 0 ? [] : [`${Format.count(value)} ${word}`]))
  return parts.length === 0 ? "nothing new" : parts.join(", ")
}

const kinds: Readonly<Record<NonNullable<Run["kind"]>, string>> = {
  poll: "Poll",
  sync: "Sync by hand",
  force: "Everything again",
  ids: "Chosen ids",
  window: "A window of time",
  retry: "Retry of what failed"
}

/** Describes the purpose of a run; undefined if it was not stored. */
export const runKind = ({ kind }: Run): string | undefined => (kind === null ? undefined : kinds[kind])

/** Something that needs a person, and the page of the connection that shows it. */
export interface Need {
  readonly to: string
  readonly text: string
  readonly tone: "warn" | "bad"
}

/** The first check must follow the creation of a connection within this time. */
const firstCheck = 10 * 60_000

const isNeverChecked = (status: Status, now: Date): boolean =>
  status.lastCheckedAt === null &&
  status.state === "idle" &&
  status.lastRun?.status !== "running" &&
  now.getTime() - Date.parse(status.createdAt) > firstCheck

/** Returns what needs a person. Failed items and runs that are retried automatically are left out. */
export const needs = (status: Status, now: Date): ReadonlyArray<Need> => {
  const { dead, deletionsHeld } = status.totals
  const problems = status.problems.length
  return [
    ...(isStuck(status) ? [{ to: "", text: "paused: the next step", tone: "warn" as const }] : []),
    ...(isNeverChecked(status, now) ? [{ to: "runs", text: "never checked", tone: "bad" as const }] : []),
    ...(deletionsHeld > 0
      ? [{ to: "deletions", text: `${Format.many(deletionsHeld, "deletion")} to approve`, tone: "warn" as const }]
      : []),
    ...(problems > 0 ? [{ to: "", text: `${Format.many(problems, "place")} not listed`, tone: "warn" as const }] : []),
    ...(dead > 0 ? [{ to: "ledger", text: `${Format.many(dead, "dead item")}`, tone: "bad" as const }] : [])
  ]
}

export interface Advice {
  readonly tone: Tone
  readonly title: string
  readonly text: string
  /** The action that the page offers. */
  readonly action?: "resume" | "credentials" | "ledger" | "deletions"
}

const lostGrant = /unauthori[sz]ed|credential|grant|token|sign in|password|refused/i

/** Returns advice for a person, the most urgent first. */
export const advice = (status: Status, signIn: boolean): ReadonlyArray<Advice> => {
  const found: Array<Advice> = []
  const { lastRun } = status
  if (status.state === "disconnected") {
    found.push({
      tone: "quiet",
      title: "This connection is disconnected",
      text: "Its credentials are forgotten and it is not polled. What was stored is still here. To go on, give credentials again.",
      action: "credentials"
    })
  } else if (status.paused !== null) {
    const grant = lastRun?.error?.reason === "Unauthorized" || lostGrant.test(status.paused)
    found.push({
      tone: "warn",
      title: "Polling is paused",
      text: `${sentence(status.paused)} ${
        grant
          ? `Next: ${signIn ? "sign in again, or " : ""}give new credentials. That ends the pause by itself.`
          : "Nothing is lost: it goes on where it was as soon as you resume it."
      }`,
      action: grant ? "credentials" : "resume"
    })
  } else if (status.failures > 0) {
    const error = lastRun?.error ?? null
    found.push({
      tone: "bad",
      title: `The last ${status.failures === 1 ? "run" : `${Format.count(status.failures)} runs`} failed`,
      text: `${error === null ? "" : `${reason(error.reason)}: ${sentence(error.message)} `}It is tried again by itself, later each time; nothing is lost meanwhile.`,
      ...(error?.reason === "Unauthorized" ? { action: "credentials" as const } : {})
    })
  }
  if (status.totals.deletionsHeld > 0) {
    found.push({
      tone: "warn",
      title: `${Format.many(status.totals.deletionsHeld, "deletion")} held back for you`,
      text: "So many went missing at the source at once that a person should look first.",
      action: "deletions"
    })
  }
  if (status.totals.dead > 0) {
    found.push({
      tone: "warn",
      title: `${Format.many(status.totals.dead, "dead item")}`,
      text: "They failed at each attempt. See why, and retry them once the cause is mended.",
      action: "ledger"
    })
  }
  return found
}

/** Adds a capital letter and a full stop to a text. */
const sentence = (text: string): string => {
  const trimmed = text.trim()
  const start = trimmed.charAt(0).toUpperCase() + trimmed.slice(1)
  return /[.!?…]$/.test(start) ? start : `${start}.`
}

/** Returns the sender of an email, or the author and the channel of a message. */
export const fromOf = (row: Pick<ContentRow, "from" | "in" | "metadata">): string => {
  const place = row.in === null ? undefined : `in #${row.in}`
  const thread = typeof row.metadata["threadTs"] === "string" ? "(reply)" : undefined
  return [row.from ?? undefined, place, thread].filter((each) => each !== undefined).join(" ") || "–"
}
