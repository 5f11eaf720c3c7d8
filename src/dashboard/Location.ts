/** Where the page is: the part of its address after `#`, with a query of its own, as the router asks for it. */
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
    // It may have moved between the first rendering and this.
    look()
    addEventListener("hashchange", look)
    return () => removeEventListener("hashchange", look)
  }, [part])
  return seen
}

/** Goes to a place of this page. `replace` leaves no way back to where it was. */
export const navigate = (to: string, options: { readonly replace?: boolean } = {}): void => {
  if (options.replace === true) {
    history.replaceState(null, "", `#${to}`)
    dispatchEvent(new HashChangeEvent("hashchange"))
  } else {
    location.hash = to
  }
}

// The router decodes what it is given, once and not wholly: so it gets back what stands there.
const escapedPathOf = (hash: string): string => pathOf(hash).replaceAll("%", "%25")

/** The place's path, percent-encoded, for the router. */
export const usePath = (): [string, typeof navigate] => [useHash(escapedPathOf), navigate]

/** The place's query. */
export const useParameters = (): URLSearchParams => new URLSearchParams(useHash(searchOf))

/** A part of a path as it was before it was encoded; undefined where it never was. */
export const decoded = (part: string): string | undefined => {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

/** The address of a connection's page; `parameters` without those that say nothing. */
export const connectionPath = (
  ref: string,
  page = "",
  parameters: Readonly<Record<string, string | undefined>> = {}
): string => {
  const said = Object.entries(parameters).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== ""
  )
  const query = said.length === 0 ? "" : `?${new URLSearchParams(said).toString()}`
  return `/connections/${encodeURIComponent(ref)}${page === "" ? "" : `/${page}`}${query}`
}

export const contentPath = (ref: string, externalId: string): string =>
  connectionPath(ref, "content", { id: externalId })
