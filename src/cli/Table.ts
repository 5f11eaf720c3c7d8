/** Rows in columns of a terminal. Commands import it when they have rows, so that help does not load the widths. */
import width from "fast-string-width"

/** Rows in columns, two spaces apart. Columns named in `right` are aligned to the right. */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  options?: { readonly right?: ReadonlyArray<string> | undefined; readonly style?: (text: string) => string }
): string => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ""))))
  const right = header.map((name) => options?.right?.includes(name) === true)
  const line = (cells: ReadonlyArray<string>) =>
    header
      .map((_, column) => {
        const cell = cells[column] ?? ""
        const padding = " ".repeat((widths[column] ?? 0) - width(cell))
        return right[column] === true ? padding + cell : cell + padding
      })
      .join("  ")
      .trimEnd()
  return [(options?.style ?? ((text) => text))(line(header)), ...rows.map(line)].join("\n")
}
