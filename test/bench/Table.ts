/** What a benchmark found, as one table. */
import * as Os from "node:os"

export interface Row {
  readonly what: string
  readonly perSecond: number
  /** Ours to this one, from the same run. */
  readonly ratio?: number
  /** What the ratio should be at least. */
  readonly goal?: number
}

const number = (value: number, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** Median of some figures. */
export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN

export const print = (rows: ReadonlyArray<Row>): void => {
  const cpu = Os.cpus()[0]?.model ?? "unknown processor"
  console.log(`\n${cpu}, ${Os.cpus().length} cores, Node ${process.version}, ${Os.type()} ${Os.release()}`)
  console.log("a ratio is ours to that row, measured in this run\n")
  const cells = rows.map((row) => [
    row.what,
    number(row.perSecond),
    row.ratio === undefined ? "" : number(row.ratio, 2),
    row.goal === undefined ? "" : `≥ ${row.goal}`,
    row.ratio === undefined || row.goal === undefined ? "" : row.ratio >= row.goal ? "met" : "not met"
  ])
  const table = [["", "per second", "ratio", "goal", ""], ...cells]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((cell) => (cell[column] ?? "").length)))
  for (const cell of table) {
    const [first = "", ...rest] = cell
    console.log(
      [first.padEnd(widths[0] ?? 0), ...rest.map((text, at) => text.padStart(widths[at + 1] ?? 0))].join("  ")
    )
  }
}
