/** The frame of every page: sign-in, navigation, sign-out, and a notice while the server can't be reached. */
import { useQuery, useQueryClient } from "@tanstack/preact-query"
import type { ComponentChildren } from "preact"
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { usePath } from "./Location.ts"
import { focusTitle, Loading, Notice, Title } from "./Components.tsx"
import { SearchBox } from "./SearchBox.tsx"
import { SignInPage } from "./SignInPage.tsx"

/** Returns the time since which the server has not answered; undefined if it answered the last request. */
const useAwaySince = (): number | undefined => {
  const cache = useQueryClient().getQueryCache()
  const [away, setAway] = useState<number>()
  useEffect(
    () =>
      cache.subscribe((event) => {
        if (event.type !== "updated") return
        const { action } = event
        if (action.type === "success") setAway(undefined)
        const isAway = (action.type === "failed" || action.type === "error") && action.error instanceof Api.Away
        if (isAway) setAway((since) => since ?? Date.now())
      }),
    [cache]
  )
  return away
}

const AwayNotice = ({ since }: { readonly since: number }) => {
  const client = useQueryClient()
  const again = async () => {
    // Cancelling ends the waits of queries that would be retried later.
    await client.cancelQueries()
    await client.refetchQueries({ type: "active" })
  }
  return (
    <Notice tone="bad" title="The server does not answer" announced>
      <p>
        What is shown is what it said last, at {Format.time(new Date(since).toISOString())}. It is asked again by
        itself. If it was stopped, start it with <code>idem serve</code>.
      </p>
      <p>
        <button type="button" onClick={() => void again()}>
          Try now
        </button>
      </p>
    </Notice>
  )
}

const Crashed = ({ error, retry }: { readonly error: unknown; readonly retry: () => void }) => (
  <Notice tone="bad" title="This page could not be shown" announced>
    <p>{error instanceof Error ? error.message : String(error)}</p>
    <p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </p>
  </Notice>
)

const Page = ({ children }: { readonly children: ComponentChildren }) => {
  const [error, reset] = useErrorBoundary()
  return error === undefined ? <>{children}</> : <Crashed error={error} retry={reset} />
}

/** Moves the focus to the heading after a navigation. */
const useFocusOnNewPage = (path: string): void => {
  const first = useRef(true)
  useEffect(() => {
    if (first.current) {
      first.current = false
      return
    }
    focusTitle()
    scrollTo(0, 0)
  }, [path])
}

export const Shell = ({ children }: { readonly children: ComponentChildren }) => {
  const [path] = usePath()
  const away = useAwaySince()
  const client = useQueryClient()
  const session = useQuery({ queryKey: ["session"], queryFn: Api.session, staleTime: 60_000 })
  useFocusOnNewPage(path)
  const leave = async () => {
    await Api.signOut()
    client.clear()
    await client.invalidateQueries()
    location.reload()
  }
  const known = session.data
  const here = (at: string) => (path === at ? "page" : undefined)
  return (
    <>
      <a
        class="skip"
        href="#title"
        onClick={(event) => {
          event.preventDefault()
          document.getElementById("title")?.focus()
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/" aria-label="Idem: all connections">
          <span class="mark" aria-hidden="true" />
          Idem
        </a>
        {known?.authenticated === true ? <SearchBox /> : null}
        {known?.authenticated === true ? (
          <nav aria-label="Main">
            <a href="#/" aria-current={here("/")}>
              Connections
            </a>
            <a href="#/connect" aria-current={here("/connect")}>
              Connect
            </a>
            <a href="#/webhooks" aria-current={here("/webhooks")}>
              Webhooks
            </a>
            <a href="/reference">API</a>
            {known.tokenRequired ? (
              <button type="button" class="link" onClick={() => void leave()}>
                Sign out
              </button>
            ) : null}
          </nav>
        ) : null}
      </header>
      <main>
        {away === undefined ? null : <AwayNotice since={away} />}
        {known === undefined ? (
          away === undefined ? (
            <Loading what="the dashboard" />
          ) : null
        ) : known.authenticated ? (
          <Page key={path}>{children}</Page>
        ) : (
          <SignInPage />
        )}
      </main>
      {known?.authenticated === true ? (
        <footer>
          Idem {known.version} · {known.process}
        </footer>
      ) : null}
    </>
  )
}

export const NotFoundPage = () => (
  <>
    <Title name="There is no such page" />
    <p>
      The address may be of another version. <a href="#/">See all connections</a>.
    </p>
  </>
)
