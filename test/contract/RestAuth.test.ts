/** The headers of each kind of authentication of a REST source, and the credentials of its sign-in. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Idem from "@idem-sync/idem/contract"
import * as Form from "../../src/contract/Form.ts"
import { notes, open, source } from "./RestFake.ts"

const withAuth = (auth: Idem.RestAuth<object>) => source({ notes: Idem.restResource(notes) }, { auth })

const provider = () => ({ issuer: "", authorizationUrl: "", tokenUrl: "https://api.example/token", parameters: {} })
const oauth2 = withAuth({ type: "oauth2", provider })

describe("a REST source", () => {
  it.effect("sends the header of its kind of credentials", () =>
    Effect.gen(function* () {
      const headersOf = (auth: Idem.RestAuth<object>, credentials: Record<string, string>) =>
        Effect.gen(function* () {
          const { log, session } = yield* open(withAuth(auth), () => [], credentials)
          yield* session.estimate
          return log[0]?.headers
        }).pipe(Effect.scoped)
      const accept = "application/json"
      assert.deepStrictEqual(yield* headersOf({ type: "none" }, {}), { accept })
      assert.deepStrictEqual(yield* headersOf({ type: "bearer" }, { token: "t0ken" }), {
        accept,
        authorization: "Bearer t0ken"
      })
      // RFC 7617, 2.1: the user name and the password are sent in UTF-8.
      assert.deepStrictEqual(yield* headersOf({ type: "basic" }, { username: "me", password: "pä55" }), {
        accept,
        authorization: "Basic bWU6cMOkNTU="
      })
      assert.deepStrictEqual(yield* headersOf({ type: "header", name: "X-Key" }, { key: "k3y" }), {
        accept,
        "x-key": "k3y"
      })
      assert.deepStrictEqual(yield* headersOf({ type: "oauth2", provider }, { accessToken: "first" }), {
        accept,
        authorization: "Bearer first"
      })
    })
  )

  it("has a title and a description of each credential that a person gives, and of each variant", () => {
    const kinds: ReadonlyArray<readonly [Idem.RestAuth<object>, ReadonlyArray<string>, ReadonlyArray<string>]> = [
      [{ type: "none" }, [], []],
      [{ type: "bearer" }, ["Token"], ["Token"]],
      [{ type: "basic" }, ["User name, Password"], ["User name", "Password"]],
      [{ type: "header", name: "X-Key" }, ["Key"], ["Key"]],
      [
        { type: "oauth2", provider },
        ["An app and its refresh token", "An app and its access token", "An access token"],
        ["Client ID", "Client secret", "Refresh token", "Client ID", "Client secret", "Access token", "Access token"]
      ]
    ]
    for (const [auth, titles, fields] of kinds) {
      const shapes = Form.shapesOf(withAuth(auth).credentialsSchema)
      assert.deepStrictEqual([shapes.map(({ title }) => title)], [titles])
      const found = shapes.flatMap((shape) => shape.fields)
      assert.deepStrictEqual([found.map(({ title }) => title)], [fields])
      assert.isTrue(found.every(({ description }) => description !== undefined && description !== ""))
    }
  })

  it.effect("keeps of a sign-in the client and the tokens that the provider issued", () =>
    Effect.gen(function* () {
      const { signIn } = oauth2
      assert(signIn !== undefined)
      const client = { clientId: "app", clientSecret: Redacted.make("s3cret") }
      const granted = {
        client,
        accessToken: Redacted.make("first"),
        refreshToken: undefined,
        expiresAt: undefined,
        scope: undefined
      }
      const lasting = { clientId: "app", clientSecret: "s3cret", accessToken: "first" }
      assert.deepStrictEqual(yield* signIn.credentials(granted), lasting)
      const expiresAt = DateTime.makeUnsafe("2026-01-02T03:04:05Z")
      const refreshable = { ...lasting, refreshToken: "r3fresh", expiresAt: "2026-01-02T03:04:05.000Z" }
      const refreshToken = Redacted.make("r3fresh")
      assert.deepStrictEqual(yield* signIn.credentials({ ...granted, refreshToken, expiresAt }), refreshable)
      const publicClient = { clientId: "app", clientSecret: undefined }
      assert.deepStrictEqual(yield* signIn.credentials({ ...granted, client: publicClient }), {
        clientId: "app",
        accessToken: "first"
      })
      assert.deepStrictEqual(yield* signIn.client(refreshable), client)
      assert.deepStrictEqual(yield* signIn.client({ clientId: "app", refreshToken: "r3fresh" }), publicClient)
      assert.isUndefined(yield* signIn.client({ accessToken: "first" }))
    })
  )
})
