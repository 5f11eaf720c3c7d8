/** Signing in at Google (https://developers.google.com/identity/protocols/oauth2/web-server). */
import * as Result from "effect/Result"
import type { Guide } from "../../contract/Integration.ts"
import type { SignIn } from "../../contract/SignIn.ts"
import type { Credentials } from "./Credentials.ts"

/** The scope that reads mail, its labels and its history, and changes nothing. */
export const scope = "https://www.googleapis.com/auth/gmail.readonly"

/** How to create the OAuth client (https://support.google.com/cloud/answer/15549257). */
export const guide: Guide = {
  url: "https://console.cloud.google.com/apis/library/gmail.googleapis.com",
  steps: [
    { text: "In the Google Cloud console, choose or create a project, and enable the Gmail API." },
    {
      text: "Under Google Auth Platform > Audience, choose Internal for accounts of your own Workspace. With External in Testing, add yourself as a test user; such a grant lasts 7 days."
    },
    { on: "command line", text: "Under Clients, create a client of the type Desktop app." },
    {
      on: "dashboard",
      text: "Under Clients, create a client of the type Web application, with the authorized redirect URI {redirectUri}"
    },
    { text: "Copy its client ID and its client secret." }
  ]
}

/** With a `rootUrl`, the same server also replaces Google's sign-in. */
const addresses = (rootUrl: string | undefined) =>
  rootUrl === undefined
    ? {
        issuer: "https://accounts.google.com",
        authorizationUrl: "https://accounts.google.com/o/oauth2/v2/auth",
        tokenUrl: "https://oauth2.googleapis.com/token"
      }
    : {
        issuer: new URL(rootUrl).origin,
        authorizationUrl: new URL("/o/oauth2/v2/auth", rootUrl).href,
        tokenUrl: new URL("/oauth2/token", rootUrl).href
      }

export const signIn = {
  // Google returns a refresh token only for offline access, and for a repeated sign-in only if the person is asked for
  // consent again.
  provider: (config) => ({
    ...addresses(config.rootUrl),
    parameters: { scope, access_type: "offline", prompt: "consent" }
  }),
  credentials: ({ accessToken, client, expiresAt, refreshToken, scope: granted }) => {
    if (granted !== undefined && !granted.split(" ").includes(scope)) {
      return Result.fail("reading the mail was not allowed: sign in again, and tick that Idem may view your email")
    }
    if (refreshToken === undefined) {
      return Result.fail(
        "Google gave no refresh token: remove Idem at https://myaccount.google.com/connections, and sign in again"
      )
    }
    if (client.clientSecret === undefined) return Result.fail("Google needs the client's secret")
    return Result.succeed({
      clientId: client.clientId,
      clientSecret: client.clientSecret,
      refreshToken,
      accessToken,
      ...(expiresAt === undefined ? {} : { expiresAt })
    })
  },
  client: (credentials) =>
    "refreshToken" in credentials
      ? { clientId: credentials.clientId, clientSecret: credentials.clientSecret }
      : undefined
} satisfies SignIn<{ readonly rootUrl?: string }, Credentials>
