/**
 * The files of a new project for an integration: what `idem init` writes, by hand or as the description of a REST API.
 */
import packageJson from "../../package.json" with { type: "json" }

const identity = `  domain: "notes",
  title: "Notes",
  summary: "the notes of a server",
  config: Schema.Struct({
    url: Idem.field(Schema.URLFromString, {
      title: "Server",
      description: "Its address.",
      example: "https://notes.example.com"
    }),
    quota: Idem.field(Schema.optionalKey(Idem.Integration.QuotaConfig), Idem.Integration.aboutQuota)
  }),
`

const scope = `  // A change of these fields lists in full, and deletes nothing.
  scope: ["url"],
  // Credentials go to these: a change asks for them again.
  address: ["url"],
  quota: ({ quota }) => ({ unitsPerMinute: 600, ...quota }),
`

const integration = `/**
 * Mirrors the notes of a server: \`GET /notes\` lists them, \`GET /notes/ID\` gives one. Replace it by your own source.
 *
 * The list is read in full at each poll, so that what is missing from it counts as deleted. A note is downloaded
 * where its version differs from the one that is stored.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"

const Listed = Schema.Struct({ id: Schema.String, version: Schema.String, title: Schema.String })
const decodeList = Schema.decodeUnknownEffect(Schema.Array(Listed))

const failed = (reason: Idem.Reason) => new Idem.IntegrationError({ reason })

/** The reason of an answer that is no success: the engine pauses, waits, tries again, or records the note's outcome. */
const refusal = (status: number, message: string): Idem.Reason => {
  if (status === 401) return new Idem.Unauthorized({ message })
  if (status === 403) return new Idem.Forbidden({ message })
  if (status === 404) return new Idem.Gone({ message })
  if (status === 429) return new Idem.RateLimited({ message })
  return new Idem.Transient({ message })
}

export const notes = Idem.Integration.make({
${identity}  credentials: Schema.Struct({
    token: Idem.field(Schema.Redacted(Schema.String), { title: "Token", description: "Of your account.", example: "…" })
  }),
  // Nothing has to be remembered between two polls.
  checkpoint: Schema.Struct({}),
${scope}  open: ({ call, config, credentials, network }) => {
    const get = (path: string) =>
      Effect.tryPromise({
        try: async (signal) => {
          const headers = { authorization: \`Bearer \${Redacted.value(credentials.token)}\` }
          const response = await network.fetch(new URL(path, config.url), { headers, signal })
          if (response.status !== 200) {
            await response.body?.cancel()
            throw refusal(response.status, \`\${config.url.host} answers \${response.status}\`)
          }
          return response.text()
        },
        catch: (cause) =>
          failed(
            Schema.is(Idem.Reason)(cause)
              ? cause
              : new Idem.Transient({ message: \`\${config.url.host} can't be reached: \${String(cause)}\` })
          )
      })

    const list = call("list", 1, get("/notes")).pipe(
      Effect.flatMap((text) =>
        Effect.mapError(
          Effect.flatMap(Effect.try(() => JSON.parse(text) as unknown), decodeList),
          () => failed(new Idem.Malformed({ message: "the list of notes can't be read" }))
        )
      )
    )

    return Effect.succeed({
      account: Effect.succeed(config.url.host),
      estimate: Effect.map(list, ({ length }) => ({ items: length, unitsPerItem: 1 })),
      list: (task) => {
        const pages = Effect.gen(function* () {
          const refs = (yield* list).map(({ id, version }) => ({ externalId: id, revision: version }))
          const listing = \`pass \${yield* Random.nextInt}\`
          const chunks = refs.length === 0 ? [[]] : Arr.chunksOf(refs, 500)
          // With the last page everything is listed: what is stored and was not listed is absent.
          return chunks.map((listed, index) => ({
            listed,
            listing,
            checkpoint: {},
            covers: index === chunks.length - 1 ? [{ prefix: "" }] : []
          }))
        })
        return Stream.mapEffect(Stream.fromIterableEffect(pages), (page) =>
          // One query a page: which of these are not stored yet, or have another version.
          Effect.map(Idem.ContentExistenceChecker.selectNew(task, page.listed, { by: "revision" }), (download) => ({
            ...page,
            download
          }))
        )
      },
      download: ({ externalId }) =>
        Effect.map(call("note", 1, get(\`/notes/\${encodeURIComponent(externalId)}\`)), (text) => ({
          kind: "note",
          title: text.split("\\n")[0] ?? externalId,
          mediaType: "text/plain; charset=utf-8",
          metadata: {},
          body: new TextEncoder().encode(text)
        }))
    })
  }
})
`

const restIntegration = `/**
 * Mirrors the notes of a server: \`GET /notes\` lists them page by page, \`GET /notes/ID\` gives one. Replace the
 * description by that of your own source.
 */
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"

/** A page of the list, and a note. Fields that are not named here are left out. */
const Page = Schema.Struct({ notes: Schema.Array(Schema.Unknown), next: Schema.NullOr(Schema.String) })
const Note = Schema.Struct({ id: Schema.String, title: Schema.String, text: Schema.String })

export const notes = Idem.rest({
${identity}${scope}  baseUrl: ({ url }) => url,
  // Or basic, header, oauth2, none.
  auth: { type: "bearer" },
  resources: () => ({
    notes: Idem.restResource({
      kind: "note",
      path: "notes",
      answer: Page,
      items: ({ notes }) => notes,
      paging: { type: "cursor", param: "after", next: ({ next }) => next },
      // The whole list is read at each poll, so that what is missing from it counts as deleted.
      absentIsDeleted: true,
      item: Note,
      id: ({ id }) => id,
      itemPath: (id) => \`notes/\${id}\`,
      content: ({ text, title }) => ({ title, mediaType: "text/plain; charset=utf-8", body: text })
    })
  })
})
`

/** How the server answers `request`: from `texts`, by external id. */
const answers = `      const id = decodeURIComponent((request.url ?? "").replace(/^\\/notes\\/?/, ""))
      if (id === "") {
        const list = [...texts].map(([key, { version }]) => ({ id: key, version: String(version), title: key }))
        return response.writeHead(200).end(JSON.stringify(list))
      }
      const found = texts.get(id)
      if (failing.has(id)) return response.writeHead(403).end()
      return found === undefined ? response.writeHead(404).end() : response.writeHead(200).end(found.text)
`

const restAnswers = `      const { pathname, searchParams } = new URL(request.url ?? "/", "http://server")
      const send = (status: number, json: unknown) => response.writeHead(status).end(JSON.stringify(json))
      const note = (key: string) => ({ id: key.replace("notes/", ""), title: key, text: texts.get(key)?.text ?? "" })
      const id = decodeURIComponent(pathname.slice(1))
      if (id !== "notes") return texts.has(id) ? send(200, note(id)) : send(404, {})
      // Pages of a hundred, each with the ids that follow the last one of the page before.
      const after = searchParams.get("after") ?? ""
      const rest = [...texts.keys()].sort().filter((key) => key > \`notes/\${after}\`)
      const page = rest.slice(0, 100).map(note)
      return send(200, { notes: page, next: rest.length > page.length ? page.at(-1)?.id : null })
`

const failing = `        fail: (id, isFailing) => Effect.sync(() => void (isFailing ? failing.add(id) : failing.delete(id))),
`

/** A REST source lists its notes with their text: there is no download that could fail. */
const server = (isRest: boolean) => `/** A server of notes on loopback, which a test edits. */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type * as Conformance from "@idem-sync/idem/testing"
import { notes } from "../src/notes.ts"

/** The source that the laws script. */
export const scripted = Effect.acquireRelease(
  Effect.callback<{ readonly server: Http.Server; readonly source: Conformance.ScriptedSource }>((resume) => {
    const texts = new Map<string, { readonly text: string; readonly version: number }>()
${isRest ? "" : "    const failing = new Set<string>()\n"}    let requests = 0
    let open = 0
    const server = Http.createServer((request, response) => {
      requests += 1
      open += 1
      response.on("close", () => (open -= 1))
${isRest ? restAnswers : answers}    })
    server.listen(0, "127.0.0.1", () => {
      const url = \`http://127.0.0.1:\${(server.address() as AddressInfo).port}\`
      const source: Conformance.ScriptedSource = {
        integration: notes,
        config: { url, quota: { unitsPerMinute: 1_000_000_000 } },
        credentials: { token: "a token" },
        usesChecker: true,
        add: (count) =>
          Effect.sync(() => {
            const ids = Array.from({ length: count }, (_, index) => \`${isRest ? "notes/" : ""}note \${texts.size + index}\`)
            for (const id of ids) texts.set(id, { text: \`The text of \${id}\`, version: 1 })
            return ids
          }),
        ids: Effect.sync(() => [...texts.keys()]),
        edit: (id) =>
          Effect.sync(() => void texts.set(id, { text: "edited", version: (texts.get(id)?.version ?? 0) + 1 })),
        remove: (id) => Effect.sync(() => void texts.delete(id)),
${isRest ? "" : failing}        requests: Effect.sync(() => requests),
        open: Effect.sync(() => open)
      }
      resume(Effect.succeed({ server, source }))
    })
  }),
  ({ server }) =>
    Effect.callback<void>((resume) => {
      server.closeAllConnections()
      server.close(() => resume(Effect.void))
    })
).pipe(Effect.map(({ source }) => source))
`

const laws = (isRest: boolean) => `import { describe, it } from "@effect/vitest"
import * as Conformance from "@idem-sync/idem/testing"
import { scripted } from "./server.ts"

describe("the laws of integrations", () => {
  // The abilities that the source lacks: their laws are left out.
  const without = [${isRest ? '"fail", ' : ""}"expire", "repeat", "narrowed"] as const
  for (const law of Conformance.laws(scripted, { without })) it.live(law.name, () => law.check)
})
`

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

const { dependencies, devDependencies } = packageJson

/** The files by path, for a project of this name. With `isRest` its integration is the description of a REST API. */
export const files = (name: string, isRest: boolean): Readonly<Record<string, string>> => ({
  "package.json": json({
    name,
    private: true,
    type: "module",
    scripts: { idem: "idem", test: "vitest run", check: "tsc" },
    dependencies: { [packageJson.name]: `^${packageJson.version}`, effect: dependencies.effect },
    devDependencies: {
      "@effect/vitest": devDependencies["@effect/vitest"],
      "@types/node": devDependencies["@types/node"],
      typescript: devDependencies.typescript,
      vitest: devDependencies.vitest
    }
  }),
  "tsconfig.json": json({
    compilerOptions: {
      strict: true,
      module: "NodeNext",
      target: "ES2024",
      lib: ["ES2024", "DOM"],
      types: ["node"],
      noEmit: true,
      allowImportingTsExtensions: true,
      erasableSyntaxOnly: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true
    },
    include: ["src", "test", "*.ts"]
  }),
  // The laws and the integration must share one copy of effect.
  "vitest.config.ts": `import { defineConfig } from "vitest/config"

export default defineConfig({ resolve: { dedupe: ["effect"] }, test: { testTimeout: 120_000 } })
`,
  "idem.config.ts": `import { defineConfig } from "@idem-sync/idem/contract"
import { notes } from "./src/notes.ts"

export default defineConfig({ integrations: [notes] })
`,
  "src/notes.ts": isRest ? restIntegration : integration,
  "test/server.ts": server(isRest),
  "test/laws.test.ts": laws(isRest),
  ".gitignore": "node_modules\ndata\n"
})
