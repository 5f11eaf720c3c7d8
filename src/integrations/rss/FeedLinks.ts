/** Finds the next older document of a feed, and whether the feed is complete: RFC 5005, and `next_url` of JSON Feed. */
import { Parser } from "htmlparser2"

/**
 * The next older document of a feed: an archive, which never changes, or a page, whose entries shift as new ones are
 * added.
 */
export interface Older {
  readonly kind: "archive" | "page"
  readonly url: string
}

/** The links of the feed's own element, and the base URL of relative links if the feed has one. */
export interface Links {
  readonly links: ReadonlyArray<{ readonly rel?: string | undefined; readonly href?: string | undefined }>
  readonly base: string | undefined
}

/**
 * Returns the older document of a feed that was read at `url`; undefined if there is none. Prefers `prev-archive` to
 * `next`, because archives lose no entries. A link to the document itself, one that is not HTTP, or one with a password
 * counts as absent.
 */
export const olderOf = ({ base, links }: Links, url: string): Older | undefined => {
  const addressOf = (rel: string): string | undefined => {
    const href = links.find((link) => link.rel?.toLowerCase() === rel)?.href
    const address = href === undefined ? null : URL.parse(href, URL.parse(base ?? "", url)?.href ?? url)
    if (address === null || !/^https?:$/.test(address.protocol) || `${address.username}${address.password}` !== "") {
      return undefined
    }
    address.hash = ""
    return address.href === url ? undefined : address.href
  }
  const archive = addressOf("prev-archive")
  if (archive !== undefined) return { kind: "archive", url: archive }
  const page = addressOf("next")
  return page === undefined ? undefined : { kind: "page", url: page }
}

const historyNamespace = "http://purl.org/syndication/history/1.0"

/**
 * Returns true if the feed states with `fh:complete` that it has no other entries. The element counts only as a child
 * of the feed in its namespace: an entry may quote it, and a false match would delete content.
 */
export const isComplete = (text: string): boolean => {
  if (!text.includes(historyNamespace)) return false
  const open: Array<{ readonly name: string; readonly attributes: Readonly<Record<string, string>> }> = []
  let isFound = false
  const parser = new Parser(
    {
      onopentag: (name, attributes) => {
        open.push({ name, attributes })
        const [, prefix, local = name] = /^([^:]*):(.*)$/.exec(name) ?? []
        if (local !== "complete") return
        const declaration = prefix === undefined ? "xmlns" : `xmlns:${prefix}`
        const scope = open.findLast((one) => declaration in one.attributes)?.attributes[declaration]
        const path = open.slice(0, -1).map((one) => one.name.replace(/^.*:/, ""))
        isFound ||= scope === historyNamespace && /^(feed|(rss|RDF)\/channel)$/.test(path.join("/"))
      },
      onclosetag: () => void open.pop()
    },
    { xmlMode: true }
  )
  parser.end(text)
  return isFound
}
