/** Converts Slack's names of emoji to characters. */
import type { Emoji } from "./Mrkdwn.ts"

/** The first of Unicode's modifiers for Slack's skin tones 2 to 6. */
const firstTone = 0x1f3fb

const characterOf = (hexcode: string): string => {
  const points = hexcode.split("-").map((code) => Number.parseInt(code, 16))
  // Signs such as ❤ are displayed as text unless a variation selector follows.
  const isSign = points.length === 1 && (points[0] ?? 0) < 0x1f000
  return String.fromCodePoint(...points, ...(isSign ? [0xfe0f] : []))
}

/** Makes the conversion. `names` has one or more names of each character, by its code points in hex. */
export const make = (names: Readonly<Record<string, string | ReadonlyArray<string>>>): Emoji => {
  const characters = new Map(
    Object.entries(names).flatMap(([hexcode, each]) =>
      [each].flat().map((name) => [name, characterOf(hexcode)] as const)
    )
  )
  return (name, tone) => {
    const character = characters.get(name)
    if (character === undefined || tone === undefined) return character
    const [base = "", ...rest] = Array.from(character).filter((point) => point !== "\uFE0F")
    return [base, String.fromCodePoint(firstTone + tone - 2), ...rest].join("")
  }
}
