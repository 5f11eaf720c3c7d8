/** Prints the progress of a long simulation to stderr, every ten seconds. */
export const progress = (what: string): ((count: number) => void) => {
  let printedAt = Date.now()
  return (count) => {
    if (Date.now() - printedAt < 10_000) return
    printedAt = Date.now()
    console.error(`  ${count.toLocaleString("en")} ${what}`)
  }
}
