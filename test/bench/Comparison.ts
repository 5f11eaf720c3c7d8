/** Compares the rows of two runs, and finds the rows that moved by more than their noise. */
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { number, printTable, type Row } from "./Table.ts"

/** The noise of rows without a range: a single figure varies by this share between two runs. */
const usualNoise = 0.1

const decode = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({
      machine: Schema.String,
      commit: Schema.String,
      benches: Schema.Array(
        Schema.Struct({
          bench: Schema.String,
          rows: Schema.Array(
            Schema.Struct({
              what: Schema.String,
              value: Schema.Finite,
              unit: Schema.String,
              ratio: Schema.optionalKey(Schema.Finite),
              range: Schema.optionalKey(Schema.Tuple([Schema.Finite, Schema.Finite]))
            })
          )
        })
      )
    })
  )
)

type Bench = { readonly bench: string; readonly rows: ReadonlyArray<Row> }

/** Returns the rows by name. The name of a row that is compared with another row begins with the other row's name. */
const named = (benches: ReadonlyArray<Bench>): ReadonlyMap<string, Row> => {
  const rows = new Map<string, Row>()
  for (const { rows: ofBench } of benches) {
    let above = ""
    for (const row of ofBench) {
      if (!row.what.startsWith(" ")) above = row.what
      rows.set(row.what === above ? above : `${above}: ${row.what.trim()}`, row)
    }
  }
  return rows
}

const figureOf = ({ ratio, value }: Row): number => ratio ?? value

/** Returns the spread of a row's rounds, as a share of its figure. */
const noiseOf = (row: Row): number => {
  const figure = figureOf(row)
  return row.range === undefined || figure === 0
    ? usualNoise
    : Math.max(row.range[1] - figure, figure - row.range[0]) / Math.abs(figure)
}

const percent = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(0)} %`

/** Returns the rows of both runs that moved by more than the noise of either, and the number of rows that did not. */
export const moved = (before: ReadonlyArray<Bench>, now: ReadonlyArray<Bench>) => {
  const then = named(before)
  const both = Array.from(named(now)).flatMap(([name, row]) => {
    const old = then.get(name)
    if (old === undefined) return []
    const change = (figureOf(row) - figureOf(old)) / figureOf(old)
    return [{ name, old, row, change, noise: Math.max(noiseOf(old), noiseOf(row)) }]
  })
  const rows = both.filter(({ change, noise }) => Math.abs(change) > noise)
  return { rows, still: both.length - rows.length }
}

/** Reads a document that `--keep` or `--json` wrote. */
export const read = async (file: string) => decode(await readFile(file, "utf8"))

/** Prints the rows that moved since the document was written. */
export const print = (before: Awaited<ReturnType<typeof read>>, now: ReadonlyArray<Bench>): void => {
  const { rows, still } = moved(before.benches, now)
  console.log(`\nbeside ${before.commit} on ${before.machine}: ${rows.length} rows moved, ${still} did not`)
  if (rows.length === 0) return
  printTable([
    ["", "before", "now", "change", "noise"],
    ...rows.map(({ change, name, noise, old, row }) => [
      name,
      number(figureOf(old)),
      `${number(figureOf(row))}${row.ratio === undefined ? ` ${row.unit}` : ""}`,
      percent(change),
      percent(noise)
    ])
  ])
}
