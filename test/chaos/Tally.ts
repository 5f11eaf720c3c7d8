/** Counts the faults that a run ordered and those that struck: a fault that never strikes proves nothing. */

export interface Count {
  readonly ordered: number
  readonly met: number
}

export class Tally {
  /** A fault that was ordered this often has struck at least once, or the harness does not order what it says. */
  static readonly surelyMet = 20

  readonly #counts = new Map<string, { ordered: number; met: number }>()

  #of(fault: string) {
    const known = this.#counts.get(fault) ?? { ordered: 0, met: 0 }
    this.#counts.set(fault, known)
    return known
  }

  order(fault: string, times = 1): void {
    this.#of(fault).ordered += times
  }

  meet(fault: string, times = 1): void {
    this.#of(fault).met += times
  }

  add(other: Tally): void {
    for (const [fault, { met, ordered }] of other.#counts) {
      this.order(fault, ordered)
      this.meet(fault, met)
    }
  }

  get counts(): ReadonlyMap<string, Count> {
    return this.#counts
  }

  /** Faults that were ordered at least this often and struck never. */
  unmet(atLeast: number): ReadonlyArray<string> {
    return [...this.#counts].flatMap(([fault, { met, ordered }]) =>
      ordered >= atLeast && met === 0 ? [`${fault} was ordered ${ordered} times and never struck`] : []
    )
  }

  /** One line a fault, by name. */
  lines(): ReadonlyArray<string> {
    return [...this.#counts]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([fault, { met, ordered }]) => `${fault}: ordered ${ordered}, met ${met}`)
  }
}
