/** The dashboard: the routes of its pages, and a cache of the server's responses. */
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/preact-query"
import { render } from "preact"
import { Route, Router, Switch } from "wouter-preact"
import { Away, Problem } from "./Api.ts"
import { ConnectionPage } from "./ConnectionPage.tsx"
import { ConnectionsPage } from "./ConnectionsPage.tsx"
import { ConnectPage } from "./ConnectPage.tsx"
import { decoded, usePath } from "./Location.ts"
import { NotFoundPage, Shell } from "./Shell.tsx"
import { SearchPage } from "./SearchPage.tsx"
import { SignInFailedPage } from "./SignInPage.tsx"
import { WebhookPage } from "./WebhookPage.tsx"
import { WebhooksPage } from "./WebhooksPage.tsx"

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      // If the session has ended, the page asks for the token.
      if (error instanceof Problem && error.status === 401 && query.queryKey[0] !== "session") {
        void client.invalidateQueries({ queryKey: ["session"] })
      }
    }
  }),
  defaultOptions: {
    queries: {
      // The server may be on this machine, so the browser's offline state does not matter.
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
          <Route path="/search" component={SearchPage} />
          <Route path="/sign-in-failed" component={SignInFailedPage} />
          <Route path="/webhooks" component={WebhooksPage} />
          <Route path="/webhooks/:id">{({ id }) => <WebhookPage key={id} id={decoded(id) ?? id} />}</Route>
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
