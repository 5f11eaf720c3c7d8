/** The form for the server's token, and the page of a failed sign-in at a provider. */
import { useMutation, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { useParameters } from "./Location.ts"
import { Field, Notice, Title } from "./Components.tsx"

export const SignInPage = () => {
  const client = useQueryClient()
  const [token, setToken] = useState("")
  const signIn = useMutation({
    mutationFn: Api.signIn,
    onSuccess: (session) => {
      client.setQueryData(["session"], session)
      void client.invalidateQueries()
    }
  })
  return (
    <div class="narrow">
      <Title name="Sign in" />
      <form
        onSubmit={(event) => {
          event.preventDefault()
          signIn.mutate(token.trim())
        }}
      >
        <Field
          label="Token"
          error={signIn.error?.message}
          hint={
            <>
              The value of <code>IDEM_API_TOKEN</code> that the server was started with.
            </>
          }
        >
          {(attributes) => (
            <input
              {...attributes}
              type="password"
              autocomplete="current-password"
              required
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          )}
        </Field>
        <button type="submit" class="primary" disabled={signIn.isPending}>
          {signIn.isPending ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </div>
  )
}

/** The page that a failed sign-in at a provider redirects to. */
export const SignInFailedPage = () => {
  const message = useParameters().get("message") ?? "the provider did not say why"
  return (
    <div class="narrow">
      <Title name="Signing in did not work" />
      <Notice tone="bad">
        <p>{message}</p>
      </Notice>
      <p>
        Nothing was stored. <a href="#/connect">Try again</a>.
      </p>
    </div>
  )
}
