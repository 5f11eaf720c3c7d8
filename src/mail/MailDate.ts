/**
 * Parses an email's `Date` field by the grammar of RFC 5322 (sections 3.3 and 4.3). JavaScript's `Date` accepts almost
 * any text and guesses in the time zone of the process, so that two machines would read different dates.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

/** Hours from UTC (RFC 5322, 4.3). Any other name, including a military letter, counts as -0000. */
const zones: Readonly<Record<string, number>> = {
  edt: -4,
  est: -5,
  cdt: -5,
  cst: -6,
  mdt: -6,
  mst: -7,
  pdt: -7,
  pst: -8
}

const grammar =
  /^(?:[a-z]{3} ?, ?)?(\d{1,2}) ([a-z]{3}) (\d{2,4}) (\d{1,2}) ?: ?(\d{2})(?: ?: ?(\d{2}))? ?([+-]\d{4}|[a-z]{1,5})$/i

/** Replaces comments by a space; they may be nested. */
const withoutComments = (text: string): string => {
  if (!text.includes("(")) return text
  let depth = 0
  let kept = ""
  for (const character of text) {
    if (character === "(") depth += 1
    else if (character === ")" && depth > 0) depth -= 1
    else if (depth === 0) kept += character
    if (depth > 0 && !kept.endsWith(" ")) kept += " "
  }
  return kept
}

/**
 * Returns the full year: two digits below 50 are in this century; other years of two or three digits count from 1900.
 */
const fullYear = (digits: string): number => {
  const year = Number(digits)
  if (digits.length === 4) return year
  return digits.length === 2 && year < 50 ? 2000 + year : 1900 + year
}

/** Returns the minutes east of UTC; undefined for an impossible offset. */
const offsetOf = (zone: string): number | undefined => {
  if (!/^[+-]/.test(zone)) return (zones[zone.toLowerCase()] ?? 0) * 60
  const minutes = Number(zone.slice(3))
  return minutes > 59 ? undefined : Number(`${zone[0]}1`) * (Number(zone.slice(1, 3)) * 60 + minutes)
}

/**
 * Returns the time that the field names, or `Option.none` if the text is not a date of RFC 5322, or the day does not
 * exist.
 */
export const parse = (field: string): Option.Option<DateTime.Utc> => {
  const text = withoutComments(field.slice(0, 500)).replaceAll(/\s+/g, " ").trim()
  const [, day = "", monthName = "", yearDigits = "", hour = "", minute = "", second = "0", zone = ""] =
    grammar.exec(text) ?? []
  const month = months.indexOf(monthName.toLowerCase())
  const offset = offsetOf(zone)
  if (month === -1 || offset === undefined) return Option.none()
  const year = fullYear(yearDigits)
  const midnight = new Date(Date.UTC(2000, month, Number(day)))
  midnight.setUTCFullYear(year, month, Number(day))
  // A leap second counts as the first second of the next minute.
  const isPossible =
    midnight.getUTCMonth() === month &&
    midnight.getUTCDate() === Number(day) &&
    year >= 1900 &&
    Number(hour) < 24 &&
    Number(minute) < 60 &&
    Number(second) <= 60
  if (!isPossible) return Option.none()
  const seconds = Number(hour) * 3600 + (Number(minute) - offset) * 60 + Number(second)
  return Option.map(DateTime.make(midnight.getTime() + seconds * 1000), DateTime.toUtc)
}
