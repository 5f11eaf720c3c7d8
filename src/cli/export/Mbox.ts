/**
 * Writes mailboxes in the mboxrd form: a `From ` line before each message; an additional `>` before each of its lines
 * that is `From ` after any number of `>` (so that removing one `>` restores the message); and an empty line after it.
 */
import * as DateTime from "effect/DateTime"
import * as Stream from "effect/Stream"

const newline = 0x0a
const greater = 0x3e
const from = [0x46, 0x72, 0x6f, 0x6d, 0x20]

interface State {
  /** The number of characters of `>*From ` that the current line has matched; -1 once it does not match. */
  readonly matched: number
  /** The number of `>` at the beginning of the line that are not written yet. */
  readonly quotes: number
  readonly ends: boolean
}

/** Quotes line by line over chunks: only bytes that may still become `From ` are held for the next chunk. */
const quoteChunk = (state: State, chunk: Uint8Array): readonly [State, Uint8Array] => {
  let { quotes, matched } = state
  const out = new Uint8Array(quotes + matched + 1 + chunk.length * 2 + from.length)
  let length = 0
  const flush = () => {
    out.fill(greater, length, length + quotes)
    length += quotes
    for (let index = 0; index < matched; index++) out[length++] = from[index] ?? 0
    quotes = 0
  }
  for (const byte of chunk) {
    if (matched === 0 && byte === greater) {
      quotes++
    } else if (matched >= 0 && byte === from[matched]) {
      matched++
      if (matched === from.length) {
        out[length++] = greater
        flush()
        matched = -1
      }
    } else {
      if (matched >= 0) flush()
      out[length++] = byte
      matched = byte === newline ? 0 : -1
    }
  }
  const last = chunk.at(-1)
  return [{ quotes, matched, ends: last === undefined ? state.ends : last === newline }, out.slice(0, length)]
}

const rest = (state: State): Uint8Array =>
  Uint8Array.from([
    ...Array.from({ length: state.quotes }, () => greater),
    ...from.slice(0, Math.max(0, state.matched)),
    // A message ends with the end of a line, followed by an empty line.
    ...(state.ends ? [newline] : [newline, newline])
  ])

/** Quotes a message for a mailbox, without its `From ` line, and with the empty line after it. */
const quote = <E, R>(body: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    body,
    (): State => ({ matched: 0, quotes: 0, ends: true }),
    (state, chunk) => {
      const [next, quoted] = quoteChunk(state, chunk)
      return [next, [quoted]]
    },
    { onHalt: (state) => [rest(state)] }
  )

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/** Formats a time like C's `asctime`, in UTC: `Thu Jan  1 00:00:00 2026`. */
const asctime = (at: DateTime.Utc): string => {
  const parts = DateTime.toPartsUtc(at)
  const two = (value: number) => String(value).padStart(2, "0")
  return `${days[parts.weekDay]} ${months[parts.month - 1]} ${String(parts.day).padStart(2)} ${two(parts.hour)}:${two(parts.minute)}:${two(parts.second)} ${parts.year}`
}

const latin = new TextDecoder("latin1")

/** Returns the sender's address in the header of a message, or `MAILER-DAEMON`. */
const sender = (head: Uint8Array): string => {
  const header = (latin.decode(head).split(/\r?\n\r?\n/, 1)[0] ?? "").replace(/\r?\n[ \t]+/g, " ")
  for (const name of ["Return-Path", "From", "Sender"]) {
    const value = new RegExp(`^${name}:(.*)$`, "im").exec(header)?.[1] ?? ""
    const address = /<([^<>\s]+@[^<>\s]+)>/.exec(value)?.[1] ?? /([^\s<>"',;:()]+@[^\s<>"',;:()]+)/.exec(value)?.[1]
    if (address !== undefined && /^[!-~]+$/.test(address)) return address
  }
  return "MAILER-DAEMON"
}

/** Returns the line before a message. */
const fromLine = (address: string, at: DateTime.Utc): string => `From ${address} ${asctime(at)}\n`

const encoder = new TextEncoder()

/** Returns a message in the form of mbox. Its sender is read from the first 64 KiB of the first chunk. */
export const message = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  at: DateTime.Utc
): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    quote(body),
    () => true,
    (isFirst, chunk) => [
      false,
      isFirst ? [encoder.encode(fromLine(sender(chunk.subarray(0, 65_536)), at)), chunk] : [chunk]
    ]
  )
