/**
 * `BENCH_SCALE` multiplies every size by a factor of at most 1, to try out a benchmark. Published figures are measured
 * without it.
 */
const scale = Number(process.env["BENCH_SCALE"] ?? 1)

if (!(scale > 0 && scale <= 1)) throw new Error("BENCH_SCALE is a number above 0, at most 1")

/** Returns the scaled size, at least 1. */
export const scaled = (size: number): number => Math.max(1, Math.round(size * scale))
