/** The results of a benchmark, as rows of one table. */
import { execFileSync } from "node:child_process"
import * as Os from "node:os"

/** The goal of a figure. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number }

export interface Row {
  readonly what: string
  readonly value: number
  /** Of `value`: `ids/s`, `MB`, `ms`. */
  readonly unit: string
  /** Ours to this one, measured in turn with it. */
  readonly ratio?: number | undefined
  /** Of the ratio, or of the value where there is none. */
  readonly goal?: Goal | undefined
  /** The lowest and the highest of the rounds: of the ratio, or of the value where there is none. */
  readonly range?: readonly [lowest: number, highest: number] | undefined
}

const digits = (value: number): number => (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)

export const number = (value: number, places = digits(value)) =>
  value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places })

/** Median of some figures. */
export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN

const ratiosOf = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>): ReadonlyArray<number> =>
  ours.map((value, round) => value / (theirs[round] ?? Number.NaN))

/** The median of the ratios of two contestants that ran in turn. */
export const ratioOf = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>): number =>
  median(ratiosOf(ours, theirs))

/** The lowest and the highest of some figures. */
export const rangeOf = (values: ReadonlyArray<number>) => [Math.min(...values), Math.max(...values)] as const

/** The lowest and the highest ratio of two contestants that ran in turn. */
export const ratioRange = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>) =>
  rangeOf(ratiosOf(ours, theirs))

/** Undefined where there is no goal. */
export const isMet = ({ goal, ratio, value }: Row): boolean | undefined => {
  if (goal === undefined) return undefined
  const figure = ratio ?? value
  return "atLeast" in goal ? figure >= goal.atLeast : figure <= goal.atMost
}

/** The machine and what ran on it, in one line: a figure means nothing without it. */
export const machine = (): string => {
  const cpus = Os.cpus()
  const memory = Math.round(Os.totalmem() / 1024 ** 3)
  return `${cpus[0]?.model ?? "unknown processor"}, ${cpus.length} cores, ${memory} GB, ${Os.type()} ${Os.release()}, Node ${process.version}`
}

/** The commit that was measured. */
export const commit = (): string =>
  execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim()

/** Prints lines of cells as a table, the first line as its head. */
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
