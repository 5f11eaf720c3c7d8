/**
 * Formats rows in columns of a terminal. Commands import it when they have rows, so that help does not load the width
 * tables.
 */
import measure from "fast-string-truncated-width"

const widthOf = (text: string): number => measure(text).width

/** Shortens the text to this width, with an ellipsis at its end. */
const shortened = (text: string, columns: number): string => {
  const { ellipsed, index } = measure(text, { limit: columns, ellipsis: "…", ellipsisWidth: 1 })
  return ellipsed ? `${text.slice(0, index).trimEnd()}…` : text
}

/** The least width of a shortened column. */
const narrowest = 12

/** The width between two columns of the table. */
const gap = 2

export interface Layout {
  /** The width that the table may have, in columns of the terminal. */
  readonly width: number
  /** Columns that are aligned to the right. */
  readonly right?: ReadonlyArray<string> | undefined
  /** The columns whose values are shortened if the table is too wide. */
  readonly cut?: ReadonlyArray<string> | undefined
  /** The columns that are dropped if it is still too wide, in this order. */
  readonly drop?: ReadonlyArray<string> | undefined
  readonly style: (text: string) => string
}

/** Formats a row as names and values, one pair a line. */
const record = (header: ReadonlyArray<string>, row: ReadonlyArray<string>, style: Layout["style"]): string => {
  const longest = Math.max(...header.map(widthOf))
  return header
    .map((name, index) => `${style(name)}${" ".repeat(longest - widthOf(name))}  ${row[index] ?? ""}`.trimEnd())
    .join("\n")
}

/**
 * Formats rows in columns, two spaces apart. A table that is too wide is shortened and loses columns (see `Layout`). If
 * it is still too wide, each row becomes lines of names and values, like psql's `\x auto`.
 */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  { cut = [], drop = [], right = [], style, width }: Layout
): string => {
  const columns = header.map((name, index) => {
    const natural = Math.max(widthOf(name), ...rows.map((row) => widthOf(row[index] ?? "")))
    const least = cut.includes(name) ? Math.min(natural, Math.max(narrowest, widthOf(name))) : natural
    return { name, index, isRight: right.includes(name), least, width: natural }
  })
  const total = (of: "least" | "width", among: typeof columns) =>
    among.reduce((sum, column) => sum + column[of] + gap, -gap)

  let shown = columns
  for (const name of drop) {
    if (total("least", shown) <= width) break
    shown = shown.filter((column) => column.name !== name)
  }
  if (total("least", shown) > width) return rows.map((row) => record(header, row, style)).join("\n\n")
  for (let excess = total("width", shown) - width; excess > 0; excess--) {
    const shrinkable = shown.filter((column) => column.width > column.least)
    const widest = shrinkable.toSorted((a, b) => b.width - a.width)[0]
    if (widest !== undefined) widest.width--
  }

  const line = (cells: ReadonlyArray<string>) =>
    shown
      .map((column) => {
        const cell = shortened(cells[column.index] ?? "", column.width)
        const padding = " ".repeat(column.width - widthOf(cell))
        return column.isRight ? padding + cell : cell + padding
      })
      .join(" ".repeat(gap))
      .trimEnd()
  return [style(line(header)), ...rows.map(line)].join("\n")
}
