/**
 * The characters that separate words, as classes of PostgreSQL's regular expressions. PostgreSQL's parser depends on
 * the locale of the database, and treats dots, hyphens and signs as parts of hosts, versions and numbers. So Idem
 * separates words itself, in texts and in queries alike: the parser only sees words with spaces between them.
 */

/**
 * Scripts without spaces between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer. Each character is indexed as a
 * word, and a word in a query becomes a phrase of characters.
 */
export const unspaced =
  String.raw`\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF\u3040-\u30FF` +
  String.raw`\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF`

/**
 * Characters that combine with the previous one into a single letter: accents, voicing marks of kana, syllables of
 * Hangul.
 */
export const combining = String.raw`\u0300-\u036F\u1100-\u11FF\u3099\u309A`

/**
 * Arabic letters that people use interchangeably: alef with hamza or madda as bare alef, teh marbuta as heh, alef
 * maksura and Persian yeh as yeh, Persian keheh as kaf. `ArabicNormalizer` and `PersianNormalizer` of Lucene do the
 * same.
 */
export const arabicForms = {
  from: "\u0623\u0625\u0622\u0671\u0629\u0649\u06CC\u06A9",
  to: "\u0627\u0627\u0627\u0627\u0647\u064A\u064A\u0643"
}

/** The ranges of code points that hold other characters than letters. Other planes have ideographs and private use. */
const planes = [
  [0x1, 0x1_ff_ff],
  [0xe_00_00, 0xe_0f_ff]
] as const

// The vowel signs of Hebrew and Arabic, and the stroke that lengthens Arabic letters. Most people leave them out.
const signs =
  String.raw`\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7` +
  String.raw`\u0610-\u061A\u0640\u064B-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED`
const isIgnored = new RegExp(String.raw`^[\p{Default_Ignorable_Code_Point}${signs}]$`, "u")
const isSeparator = /^[^ \p{L}\p{M}\p{Nd}\p{Nl}\p{Default_Ignorable_Code_Point}]$/u
const isUnused = /^[\p{Cn}\p{Cs}]$/u

const escaped = (point: number): string =>
  point > 0xffff ? `\\U${point.toString(16).padStart(8, "0")}` : `\\u${point.toString(16).padStart(4, "0")}`

/**
 * Returns the ranges of matching characters. Unassigned code points may be included, so that there are fewer ranges.
 */
const rangesOf = (kind: RegExp): string => {
  const ranges: Array<[first: number, last: number]> = []
  for (const [first, last] of planes) {
    let open: [number, number] | undefined
    for (let point = first; point <= last; point += 1) {
      const char = String.fromCodePoint(point)
      if (isUnused.test(char)) continue
      if (!kind.test(char)) open = undefined
      else if (open === undefined) ranges.push((open = [point, point]))
      else open[1] = point
    }
  }
  return ranges.map(([first, last]) => (first === last ? "" : `${escaped(first)}-`) + escaped(last)).join("")
}

/** Characters that do not distinguish words: soft hyphens, joiners, marks of direction and vowel signs. */
export const ignored = (): string => rangesOf(isIgnored)

/** Characters that separate words: punctuation, symbols, emoji, and spaces other than the ordinary one. */
export const separators = (): string => rangesOf(isSeparator)
