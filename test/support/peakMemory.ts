/**
 * Loaded before a program (`--expose-gc --import`). When the program ends, this module writes the most memory that was
 * in use, in bytes, to `PEAK_FILE`. Garbage that was not collected yet is not counted, because the time of a collection
 * varies between machines.
 */
import { writeFileSync } from "node:fs"

let peak = 0

const look = (): void => {
  // The second collection waits for the work that the first one left to other threads.
  for (let time = 0; time < 2; time += 1) globalThis.gc?.()
  const { external, heapUsed } = process.memoryUsage()
  peak = Math.max(peak, heapUsed + external)
}

/** Measures repeatedly, and leaves four fifths of the time to the program, however slow the machine is. */
const watch = (): void => {
  const begun = performance.now()
  look()
  setTimeout(watch, Math.max(200, 4 * (performance.now() - begun))).unref()
}
watch()
process.on("exit", () => {
  look()
  writeFileSync(process.env["PEAK_FILE"] ?? "", String(peak))
})
