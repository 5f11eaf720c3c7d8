/**
 * A queue that gives groups their turns (round-robin), so that a group with many entries does not delay the others. A
 * path names the group of an entry, the outermost first. Within the innermost group, entries go first in, first out.
 */
export interface FairQueue<A> {
  readonly entries: Set<A>
  readonly groups: Map<string, FairQueue<A>>
}

export const make = <A>(): FairQueue<A> => ({ entries: new Set(), groups: new Map() })

const isEmpty = <A>({ entries, groups }: FairQueue<A>): boolean => entries.size === 0 && groups.size === 0

/** Adds an entry. All paths of a queue have the same length. */
export const add = <A>(queue: FairQueue<A>, [name, ...inner]: ReadonlyArray<string>, entry: A): void => {
  if (name === undefined) {
    queue.entries.add(entry)
    return
  }
  const group = queue.groups.get(name) ?? make()
  queue.groups.set(name, group)
  add(group, inner, entry)
}

/** Removes an entry that was added with this path, if it is still there. */
export const remove = <A>(queue: FairQueue<A>, [name, ...inner]: ReadonlyArray<string>, entry: A): void => {
  if (name === undefined) {
    queue.entries.delete(entry)
    return
  }
  const group = queue.groups.get(name)
  if (group === undefined) return
  remove(group, inner, entry)
  if (isEmpty(group)) queue.groups.delete(name)
}

/** Removes and returns the next entry that `accepts` returns true for; undefined if there is none. */
export const poll = <A>(queue: FairQueue<A>, accepts: (entry: A) => boolean): A | undefined => {
  for (const entry of queue.entries) {
    if (!accepts(entry)) continue
    queue.entries.delete(entry)
    return entry
  }
  for (const [name, group] of queue.groups) {
    const entry = poll(group, accepts)
    if (entry === undefined) continue
    // Moves the group behind the other groups.
    queue.groups.delete(name)
    if (!isEmpty(group)) queue.groups.set(name, group)
    return entry
  }
  return undefined
}
