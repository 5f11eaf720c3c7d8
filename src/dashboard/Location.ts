/** The location of the page for the router: the part of the URL after `#`, with a query of its own. */
import { useEffect, useState } from "preact/hooks"

const current = (): string => {
  const hash = location.hash.replace(/^#/, "")
  return hash.startsWith("/") ? hash : `/${hash}`
}

const pathOf = (hash: string): string => hash.replace(/\?.*$/s, "")
const searchOf = (hash: string): string => (hash.includes("?") ? hash.slice(hash.indexOf("?") + 1) : "")

const useHash = (part: (hash: string) => string): string => {
  const [seen, see] = useState(() => part(current()))
  useEffect(() => {
    const look = () => see(part(current()))
    // The location may have changed between the first rendering and this effect.
    look()
    addEventListener("hashchange", look)
    return () => removeEventListener("hashchange", look)
  }, [part])
  return seen
}

/** Navigates within the dashboard. `replace` replaces the entry of the browser's history. */
export const navigate = (to: string, options: { readonly replace?: boolean } = {}): void => {
  if (options.replace === true) {
    history.replaceState(null, "", `#${to}`)
    dispatchEvent(new HashChangeEvent("hashchange"))
  } else {
    location.hash = to
  }
}

// The router decodes percent signs once. Encoding them here preserves the path.
const escapedPathOf = (hash: string): string => pathOf(hash).replaceAll("%", "%25")

/** Returns the path of the location, percent-encoded, for the router. */
export const usePath = (): [string, typeof navigate] => [useHash(escapedPathOf), navigate]

/** Returns the query of the location. */
export const useParameters = (): URLSearchParams => new URLSearchParams(useHash(searchOf))

/** Decodes a part of a path; undefined if it is malformed. */
export const decoded = (part: string): string | undefined => {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

type Query = Readonly<Record<string, string | undefined>>

/** Formats the query of a URL. Empty parameters are left out. */
const queryOf = (parameters: Query): string => {
  const said = Object.entries(parameters).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== ""
  )
  return said.length === 0 ? "" : `?${new URLSearchParams(said).toString()}`
}

/** Returns the path of a connection's page. */
export const connectionPath = (ref: string, page = "", parameters: Query = {}): string =>
  `/connections/${encodeURIComponent(ref)}${page === "" ? "" : `/${page}`}${queryOf(parameters)}`

/** Returns the path of a search: `q` and its filters. */
export const searchPath = (parameters: Query): string => `/search${queryOf(parameters)}`

export const contentPath = (ref: string, externalId: string): string =>
  connectionPath(ref, "content", { id: externalId })

export const webhookPath = (id: string): string => `/webhooks/${encodeURIComponent(id)}`
