/** Counts the faults that a run ordered and those that occurred: a fault that never occurs proves nothing. */

export class Tally {
  /** A fault that was ordered this often must have occurred at least once; otherwise the harness does not inject it. */
  static readonly surelyMet = 20

  readonly #counts = new Map<string, { orders: number; ordered: number; met: number }>()

  #of(fault: string) {
    const known = this.#counts.get(fault) ?? { orders: 0, ordered: 0, met: 0 }
    this.#counts.set(fault, known)
    return known
  }

  /** Orders a fault that affects up to `times` requests. */
  order(fault: string, times = 1): void {
    const count = this.#of(fault)
    count.orders += 1
    count.ordered += times
  }

  meet(fault: string, times = 1): void {
    this.#of(fault).met += times
  }

  add(other: Tally): void {
    for (const [fault, { met, ordered, orders }] of other.#counts) {
      const count = this.#of(fault)
      count.orders += orders
      count.ordered += ordered
      count.met += met
    }
  }

  /** Returns the faults that were ordered at least this often and never occurred. */
  unmet(atLeast: number): ReadonlyArray<string> {
    return [...this.#counts].flatMap(([fault, { met, orders }]) =>
      orders >= atLeast && met === 0 ? [`${fault} was ordered ${orders} times and never struck`] : []
    )
  }

  /** Returns a line for each fault, by name. */
  lines(): ReadonlyArray<string> {
    return [...this.#counts]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([fault, { met, ordered }]) => `${fault}: ordered ${ordered}, met ${met}`)
  }
}
