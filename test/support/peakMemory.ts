/**
 * Loaded before a program (`--expose-gc --import`): at its end it writes to `PEAK_FILE` the most memory that was in
 * use, in bytes, without what the collector had not come to yet: when it comes is up to the machine.
 */
import { writeFileSync } from "node:fs"

let peak = 0

const look = (): void => {
  // The second waits for what the first has left to other threads.
  for (let time = 0; time < 2; time += 1) globalThis.gc?.()
  const { external, heapUsed } = process.memoryUsage()
  peak = Math.max(peak, heapUsed + external)
}

/** Looks again and again, and leaves four fifths of the time to the program, however slow the machine is. */
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
