/** Linear's issues and comments, at an independent Linear: npm's `emulate`. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"
import * as Conformance from "@idem-sync/idem/testing"
import { direct } from "../../src/contract/Network.ts"
import * as OAuth from "../../src/engine/source/OAuth.ts"
import { fetch } from "../support/Fetch.ts"
import { agree, client, linear as emulated } from "../support/Provider.ts"
import { linear } from "./Linear.ts"

const Id = Schema.Struct({ id: Schema.String })
const Created = Schema.Struct({ data: Schema.Record(Schema.String, Schema.Struct({ made: Id })) })
const decodeCreated = Schema.decodeUnknownSync(Created)

const Issues = Schema.Struct({ data: Schema.Struct({ issues: Schema.Struct({ nodes: Schema.Array(Id) }) }) })
const decodeIssues = Schema.decodeUnknownSync(Issues)

/** A Linear that accepts mutations, which return the id of the object that they made. */
const workspace = Effect.fnUntraced(function* (redirectUris: ReadonlyArray<string> = []) {
  const url = yield* emulated(redirectUris)
  const mutate = (query: string) =>
    Effect.promise(async () => {
      const headers = { authorization: "Bearer t0ken", "content-type": "application/json" }
      const response = await fetch(`${url}/graphql`, { method: "POST", headers, body: JSON.stringify({ query }) })
      const json = await response.json()
      assert.notProperty(json, "errors", JSON.stringify(json))
      return json as unknown
    })
  // The emulator starts with an issue, which is removed.
  for (const { id } of decodeIssues(yield* mutate("{ issues { nodes { id } } }")).data.issues.nodes) {
    yield* mutate(`mutation { issueDelete(id: "${id}") { success } }`)
  }
  /** Makes objects with one request. Returns their ids, in order. */
  const create = (mutations: ReadonlyArray<string>) =>
    Effect.map(mutate(`mutation { ${mutations.map((one, index) => `number${index}: ${one}`).join(" ")} }`), (json) =>
      Object.values(decodeCreated(json).data).map(({ made }) => made.id)
    )
  const ids = { issues: [] as Array<string>, comments: new Map<string, string>() }
  return {
    url,
    ids,
    issues: (titles: ReadonlyArray<string>) =>
      create(
        titles.map(
          (title) =>
            `issueCreate(input: { teamId: "ENG", title: "${title}", description: "Grüße" }) { made: issue { id } }`
        )
      ).pipe(Effect.tap((made) => Effect.sync(() => ids.issues.push(...made)))),
    /** Adds a comment to each of these issues. */
    comments: (issues: ReadonlyArray<string>) =>
      create(
        issues.map(
          (issue) => `commentCreate(input: { issueId: "${issue}", body: "A comment" }) { made: comment { id } }`
        )
      ).pipe(
        Effect.tap((made) => Effect.sync(() => made.forEach((id, index) => ids.comments.set(id, issues[index] ?? ""))))
      ),
    mutate
  }
})

const scripted = Effect.map(workspace(), ({ comments, ids, issues, mutate, url }): Conformance.ScriptedSource => {
  return {
    integration: linear,
    config: { url, quota: { unitsPerMinute: 1_000_000_000 } },
    credentials: { accessToken: "t0ken" },
    usesChecker: true,
    // A third of the items are comments, each on an issue of its own.
    add: Effect.fnUntraced(function* (count) {
      const made = yield* issues(Array.from({ length: Math.ceil((count * 2) / 3) }, (_, index) => `Title ${index}`))
      const replies = yield* comments(made.slice(0, count - made.length))
      return [...made.map((id) => `issues/${id}`), ...replies.map((id) => `comments/${id}`)]
    }),
    ids: Effect.sync(() => [
      ...ids.issues.map((id) => `issues/${id}`),
      ...[...ids.comments.keys()].map((id) => `comments/${id}`)
    ]),
    edit: (externalId) => {
      const [kind, id] = externalId.split("/")
      return kind === "issues"
        ? mutate(`mutation { issueUpdate(id: "${id}", input: { description: "edited" }) { success } }`)
        : mutate(`mutation { commentUpdate(id: "${id}", input: { body: "edited" }) { success } }`)
    },
    remove: (externalId) => {
      const [kind = "", id = ""] = externalId.split("/")
      // The comments of an issue are removed with it.
      for (const [comment, issue] of ids.comments) if (comment === id || issue === id) ids.comments.delete(comment)
      ids.issues = ids.issues.filter((one) => one !== id)
      return mutate(`mutation { ${kind.slice(0, -1)}Delete(id: "${id}") { success } }`)
    }
  }
})

describe("the laws of integrations, for Linear's issues and comments", () => {
  // Linear's lists contain the text of issues and comments.
  const without = ["fail", "expire", "repeat", "narrowed", "open"] as const
  for (const law of Conformance.laws(scripted, { without })) it.live(law.name, () => law.check)
})

/** Returns the ids of one listing with these credentials, and stores replaced credentials. */
const list = (url: string, kept: { credentials: unknown }) =>
  Effect.gen(function* () {
    const session = yield* linear.open({
      config: { url },
      credentials: kept.credentials,
      call: (_method, _units, request) => request,
      saveCredentials: (next) =>
        Effect.sync(() => {
          kept.credentials = next
        })
    })
    const pages = yield* Stream.runCollect(session.list(Idem.poll, Option.none(), Idem.noParts))
    return pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId))
  }).pipe(Effect.scoped, Effect.provide(Idem.ContentExistenceChecker.layerTest([])))

const past = Effect.map(DateTime.now, (now) => DateTime.formatIso(DateTime.subtract(now, { hours: 1 })))

describe("a sign-in at Linear", () => {
  it.live("gives credentials whose access token is refreshed once it has ended", () =>
    Effect.gen(function* () {
      const redirectUri = "http://127.0.0.1:1/callback"
      const { issues, url } = yield* workspace([redirectUri])
      const id = `issues/${(yield* issues(["One"]))[0]}`
      const { signIn } = linear
      assert(signIn !== undefined)
      const provider = yield* signIn.provider({ url })
      const app = { clientId: client.clientId, clientSecret: Redacted.make(client.clientSecret) }
      const begun = yield* OAuth.begin({ signIn, provider, client: app, redirectUri })
      const { searchParams } = yield* Effect.promise(() => agree(begun.url))
      const { pending } = begun
      const made = yield* OAuth.finish({ signIn, provider, pending, parameters: searchParams, network: direct })
      const kept: { credentials: unknown } = { credentials: made }
      const first = { ...(made as Record<string, string>) }
      assert.hasAllKeys(first, ["clientId", "clientSecret", "accessToken", "refreshToken", "expiresAt"])
      assert.deepStrictEqual(yield* list(url, kept), [id])
      assert.strictEqual(kept.credentials, made)

      // The token has expired: one refresh replaces it and the refresh token, which can be used only once.
      kept.credentials = { ...first, expiresAt: yield* past }
      assert.deepStrictEqual(yield* list(url, kept), [id])
      const second = kept.credentials as Record<string, string>
      assert.notStrictEqual(second["accessToken"], first["accessToken"])
      assert.notStrictEqual(second["refreshToken"], first["refreshToken"])
      assert.strictEqual(second["clientSecret"], client.clientSecret)

      const dead = { ...first, expiresAt: yield* past }
      const error = yield* Effect.flip(list(url, { credentials: dead }))
      assert(error._tag === "IntegrationError")
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.include(error.reason.message, "sign in again")
      assert.notInclude(error.reason.message, String(first["refreshToken"]))
    }).pipe(Effect.scoped)
  )
})
