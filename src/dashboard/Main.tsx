/** The dashboard: which page is shown where, around a cache of what the server said. */
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/preact-query"
import { render } from "preact"
import { Route, Router, Switch } from "wouter-preact"
import { Away, Problem } from "./Api.ts"
import { ConnectionPage } from "./ConnectionPage.tsx"
import { ConnectionsPage } from "./ConnectionsPage.tsx"
import { ConnectPage } from "./ConnectPage.tsx"
import { decoded, usePath } from "./Location.ts"
import { NotFoundPage, Shell } from "./Shell.tsx"
import { SignInFailedPage } from "./SignInPage.tsx"

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      // The session may have ended meanwhile: then the token is asked for.
      if (error instanceof Problem && error.status === 401 && query.queryKey[0] !== "session") {
        void client.invalidateQueries({ queryKey: ["session"] })
      }
    }
  }),
  defaultOptions: {
    queries: {
      // It is on this machine or on the same network, whatever the browser thinks of being online.
      networkMode: "always",
      staleTime: 500,
      retry: (_, error) => error instanceof Away,
      retryDelay: (attempt) => Math.min(1000 * 2 ** attempt, 15_000)
    },
    mutations: { networkMode: "always", retry: false }
  }
})

const App = () => (
  <QueryClientProvider client={client}>
    <Router hook={usePath}>
      <Shell>
        <Switch>
          <Route path="/" component={ConnectionsPage} />
          <Route path="/connect" component={ConnectPage} />
          <Route path="/sign-in-failed" component={SignInFailedPage} />
          <Route path="/connections/:ref/:page?">
            {({ page, ref }) => <ConnectionPage key={ref} connection={decoded(ref) ?? ref} page={page ?? ""} />}
          </Route>
          <Route component={NotFoundPage} />
        </Switch>
      </Shell>
    </Router>
  </QueryClientProvider>
)

const root = document.getElementById("app")
if (root !== null) render(<App />, root)
