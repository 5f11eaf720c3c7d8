/** `BENCH_SCALE` makes every size smaller by this factor, to try a benchmark out; figures that count have it unset. */
const scale = Number(process.env["BENCH_SCALE"] ?? 1)

if (!(scale > 0 && scale <= 1)) throw new Error("BENCH_SCALE is a number above 0, at most 1")

/** A size, scaled; at least 1. */
export const scaled = (size: number): number => Math.max(1, Math.round(size * scale))
