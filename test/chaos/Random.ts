/** Numbers from a seed: the same seed gives the same numbers on every machine (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
    // Neighbouring seeds differ in few bits, which would be visible in the first numbers.
    for (let warm = 0; warm < 4; warm += 1) this.next()
  }

  /** Returns a number from 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let bits = this.#state
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 4_294_967_296
  }

  /** Returns a whole number from `minimum` to `maximum`, both included. */
  between(minimum: number, maximum: number): number {
    return minimum + Math.floor(this.next() * (maximum - minimum + 1))
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  pick<A>(from: readonly [A, ...Array<A>]): A {
    return from[this.between(0, from.length - 1)] ?? from[0]
  }

  /** Returns one of these values, chosen by weight. */
  weighted<A>(from: ReadonlyArray<readonly [weight: number, value: A]>): A {
    let at = this.next() * from.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of from) {
      at -= weight
      if (at < 0) return value
    }
    throw new Error("nothing to choose from")
  }
}
