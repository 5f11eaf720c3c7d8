/** The results of a benchmark, as rows of one table. */
import { execFileSync } from "node:child_process"
import * as Os from "node:os"

/** The goal of a figure. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number }

export interface Row {
  readonly what: string
  readonly value: number
  /** The unit of `value`: `ids/s`, `MB`, `ms`. */
  readonly unit: string
  /** The ratio of Idem's figure to this one, measured in turn. */
  readonly ratio?: number | undefined
  /** The goal of the ratio, or of the value if there is no ratio. */
  readonly goal?: Goal | undefined
  /** The lowest and the highest of the rounds, for the ratio, or for the value if there is no ratio. */
  readonly range?: readonly [lowest: number, highest: number] | undefined
}

const digits = (value: number): number => (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)

export const number = (value: number, places = digits(value)) =>
  value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places })

/** Returns the median of some figures. */
export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN

const ratiosOf = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>): ReadonlyArray<number> =>
  ours.map((value, round) => value / (theirs[round] ?? Number.NaN))

/** Returns the median of the ratios of two contestants that ran in turn. */
export const ratioOf = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>): number =>
  median(ratiosOf(ours, theirs))

/** Returns the lowest and the highest of some figures. */
export const rangeOf = (values: ReadonlyArray<number>) => [Math.min(...values), Math.max(...values)] as const

/** Returns the lowest and the highest ratio of two contestants that ran in turn. */
export const ratioRange = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>) =>
  rangeOf(ratiosOf(ours, theirs))

/** Returns true if the goal is met; undefined if there is no goal. */
export const isMet = ({ goal, ratio, value }: Row): boolean | undefined => {
  if (goal === undefined) return undefined
  const figure = ratio ?? value
  return "atLeast" in goal ? figure >= goal.atLeast : figure <= goal.atMost
}

/** Describes the machine and its software in one line, without which a figure means nothing. */
export const machine = (): string => {
  const cpus = Os.cpus()
  const memory = Math.round(Os.totalmem() / 1024 ** 3)
  return `${cpus[0]?.model ?? "unknown processor"}, ${cpus.length} cores, ${memory} GB, ${Os.type()} ${Os.release()}, Node ${process.version}`
}

/** Returns the measured commit. */
export const commit = (): string =>
  execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim()

/** Prints rows of cells as a table, with the first row as its header. */
export const printTable = (table: ReadonlyArray<ReadonlyArray<string>>): void => {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((cells) => (cells[column] ?? "").length)))
  for (const [first = "", ...rest] of table) {
    console.log(
      [first.padEnd(widths[0] ?? 0), ...rest.map((text, at) => text.padStart(widths[at + 1] ?? 0))].join("  ").trimEnd()
    )
  }
}

export const print = (rows: ReadonlyArray<Row>): void => {
  const cells = rows.map((row) => {
    const met = isMet(row)
    return [
      row.what,
      `${number(row.value)} ${row.unit}`,
      row.ratio === undefined ? "" : number(row.ratio, 2),
      row.goal === undefined ? "" : "atLeast" in row.goal ? `≥ ${row.goal.atLeast}` : `≤ ${row.goal.atMost}`,
      met === undefined ? "" : met ? "met" : "not met"
    ]
  })
  printTable([["", "found", "ratio", "goal", ""], ...cells])
}
