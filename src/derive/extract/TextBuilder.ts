/** Builds a text piece by piece, up to a bound. */

/** Matches characters that a database or a page can't show: NUL, other controls, and lone surrogates. */
// oxlint-disable-next-line no-control-regex
const unwanted = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]/g

/** Cuts the text to at most `most` characters, without splitting a surrogate pair. */
export const cut = (text: string, most: number): string => {
  if (text.length <= most) return text
  const code = text.charCodeAt(most - 1)
  return text.slice(0, code >= 0xd800 && code <= 0xdbff ? most - 1 : most)
}

/** Removes controls, trailing spaces, and repeated empty lines. */
export const tidy = (text: string): string =>
  text
    .replaceAll(/\r\n?/g, "\n")
    .replaceAll(unwanted, "")
    .toWellFormed()
    .replaceAll(/[^\S\n]+\n/g, "\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim()

export class TextBuilder {
  readonly #most: number
  readonly #pieces: Array<string> = []
  #length = 0
  #truncated = false
  /** The separator before the next piece: none, a space, a tab, or a new line. */
  #due: "" | " " | "\t" | "\n" = ""

  constructor(most: number) {
    this.#most = most
  }

  get isFull(): boolean {
    return this.#length >= this.#most
  }

  /** Adds flowing text: any white space becomes one space. */
  flow(text: string): void {
    const flat = text.replaceAll(/\s+/g, " ")
    if (flat.startsWith(" ")) this.#space(" ")
    const piece = flat.trim()
    if (piece === "") return
    this.#add(piece)
    if (flat.endsWith(" ")) this.#space(" ")
  }

  /** Adds text with its line breaks. */
  verbatim(text: string): void {
    if (text !== "") this.#add(text)
  }

  tab(): void {
    this.#space("\t")
  }

  line(): void {
    this.#space("\n")
  }

  #space(space: " " | "\t" | "\n"): void {
    if (this.#length === 0 || this.#due === "\n") return
    if (space === "\n" || this.#due === "" || this.#due === " ") this.#due = space
  }

  #add(text: string): void {
    const piece = this.#due + text
    this.#due = ""
    const room = this.#most - this.#length
    if (piece.length > room) this.#truncated = true
    const kept = cut(piece, Math.max(room, 0))
    this.#pieces.push(kept)
    this.#length += kept.length
    // The rest of the bound is less than one character.
    if (kept.length < piece.length) this.#length = this.#most
  }

  /** Returns the text, preceded by the title unless it begins with it. */
  result(title = ""): { readonly text: string; readonly truncated: boolean } {
    const text = tidy(this.#pieces.join(""))
    const head = tidy(title.replaceAll(/\s+/g, " "))
    return {
      text: head === "" || text.startsWith(head) ? text : tidy(cut(`${head}\n${text}`, this.#most)),
      truncated: this.#truncated
    }
  }
}
