/** Idem embedded in a program, with the program's interface of promises and iterators. */
import { assert, describe, it } from "@effect/vitest"
import { createIdem } from "@idem-sync/idem"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { setTimeout } from "node:timers/promises"
import { Client } from "pg"
import * as ExpressExample from "./example/express.ts"
import * as FastifyExample from "./example/fastify.ts"
import { fetch } from "./support/Fetch.ts"
import { integration, MemorySource } from "./support/MemorySource.ts"
import * as Postgres from "./support/Postgres.ts"

const secretKey = Buffer.alloc(32, 7).toString("base64")

const collect = async <A>(items: AsyncIterable<A>): Promise<Array<A>> => {
  const all: Array<A> = []
  for await (const item of items) all.push(item)
  return all
}

const idsOf = async (rows: AsyncIterable<{ readonly externalId: string }>) =>
  (await collect(rows)).map(({ externalId }) => externalId)

describe("createIdem", () => {
  it("refuses a request that it does not understand, naming the field, and any once it is closed", async () => {
    const idem = await createIdem({ database: "memory", integrations: [integration(new MemorySource())] })
    const connection = { domain: "memory", name: "work", credentials: { token: "s3cret" } }
    const refusal = (request: Promise<unknown>) =>
      request.then(
        () => assert.fail("it was done"),
        (error: Error & { readonly detail?: string }) => `${error.name}: ${error.detail ?? error.message}`
      )
    await idem.connect({ ...connection, config: undefined, every: undefined })
    // A field that is undefined is omitted, such as the cursor of a program that has read nothing yet.
    assert.strictEqual((await idem.sync("work", { since: undefined, force: undefined })).status, "succeeded")
    assert.deepStrictEqual(await collect(idem.changes({ after: undefined })), [])
    const requests: ReadonlyArray<readonly [Promise<unknown>, RegExp]> = [
      [idem.connect({ ...connection, every: "5" }), /^UsageProblem: .*every/],
      [idem.connect({ ...connection, evry: "5 minutes" } as never), /^UsageProblem: .*evry/],
      [idem.sync("work", { force: "yes" } as never), /^UsageProblem: .*force/],
      [idem.sync("work", null as never), /^UsageProblem: /],
      [idem.sync("work", { forceIDs: ["a"] } as never), /^UsageProblem: .*forceIDs/]
    ]
    for (const [request, message] of requests) assert.match(await refusal(request), message)
    const errorsOf = (request: Promise<unknown>) =>
      request.then(
        () => assert.fail("it was done"),
        (error: { readonly errors?: unknown }) => error.errors
      )
    assert.deepStrictEqual(await errorsOf(idem.sync("work", { forceIDs: ["a"], force: 1 } as never)), [
      { place: "body", field: "forceIDs", message: "forceIDs is not a field of it (did you mean forceIds?)" },
      { place: "body", field: "force", message: "force: expected boolean" }
    ])
    assert.deepStrictEqual(await errorsOf(idem.sync("work", null as never)), [
      { place: "body", message: "expected object" }
    ])
    assert.deepStrictEqual(await errorsOf(collect(idem.changes({ folow: true } as never))), [
      { place: "query", field: "folow", message: "folow is not a field of it (did you mean follow?)" }
    ])
    const misspelt = { state: "odd" } as never
    assert.match(await refusal(collect(idem.contents("work", misspelt))), /^UsageProblem: .*state/)
    assert.match(await refusal(collect(idem.changes({ folow: true } as never))), /^UsageProblem: .*folow/)
    assert.match(await refusal(idem.sync("home")), /there is no connection "home"; there are: "work"$/)
    await idem.close()
    const afterwards = [
      idem.sync("work"),
      collect(idem.contents("work")),
      collect(idem.body("work", "a")),
      collect(idem.changes({ follow: true }))
    ]
    for (const request of afterwards) assert.match(await refusal(request), /this Idem is closed/)
    assert.match(await refusal(createIdem({ databse: "memory" } as never)), /"databse" is no option.* mean database/)
    assert.match(await refusal(createIdem({ database: "memory", secretKey: "short" })), /^Error: secretKey is not 32/)
    for (const [name, meant] of [
      ["IDEM_CLUSTR", "did you mean IDEM_CLUSTER?"],
      ["MY_SETTING", "there are: AWS_ACCESS_KEY_ID, "]
    ] as const) {
      const unknown = await refusal(createIdem({ database: "memory", settings: { [name]: "1" } }))
      assert.include(unknown, `Error: "${name}" is no setting of Idem; ${meant}`)
    }
    const settings = { IDEM_LONGEST_RETRY_AFTER: "forever" }
    const setting = await refusal(createIdem({ database: "memory", settings }))
    assert.match(setting, /^Error: .*IDEM_LONGEST_RETRY_AFTER.* duration/)
  })

  it.live("connects, syncs, reads and follows, twice in one process, and leaves the process as it was", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      const source = new MemorySource()
      source.addMany(3)
      const listeners = () => ["SIGINT", "SIGTERM", "uncaughtException"].map((name) => process.listenerCount(name))
      const before = listeners()
      yield* Effect.promise(async () => {
        const lines: Array<string> = []
        const options = { database, secretKey, integrations: [integration(source)] }
        const idem = await createIdem({ ...options, log: (line) => void lines.push(line) })
        const other = await createIdem(options)
        try {
          assert.deepStrictEqual(listeners(), before)
          const request = { domain: "memory", name: "mine", credentials: { token: "t" }, every: "5 minutes" }
          assert.isTrue((await idem.connect(request)).created)
          const first = await idem.sync("mine")
          assert.deepStrictEqual([first.status, first.stored, first.downloads], ["succeeded", 3, 3])
          const second = await other.sync("mine")
          assert.deepStrictEqual([second.status, second.stored, second.downloads], ["succeeded", 0, 0])
          const [id = ""] = [...source.items.keys()]
          const forced = await other.sync("mine", { forceIds: [id] })
          assert.deepStrictEqual([forced.unchanged, forced.downloads], [1, 1])

          assert.sameMembers(await idsOf(idem.contents("mine")), [...source.items.keys()])
          assert.strictEqual((await other.status("mine")).totals.stored, 3)
          const bytes = Buffer.concat(await collect(idem.body("mine", id)))
          assert.strictEqual(bytes.toString(), `body of ${id}`)

          // A change becomes visible after earlier transactions have ended, including those of other databases on the
          // server. So the test follows the feed. Without waiting, the changes end.
          assert.isAtMost((await collect(idem.changes({ connection: "mine" }))).length, 3)
          const following = idem.changes({ connection: "mine", follow: true })[Symbol.asyncIterator]()
          const told = [await following.next(), await following.next(), await following.next()]
          assert.sameMembers(
            told.map(({ value }) => value?.content.externalId),
            [...source.items.keys()]
          )
          await following.return?.()
          const after = told.at(-1)?.value?.cursor ?? ""
          const further = idem.changes({ connection: "mine", after, follow: true })[Symbol.asyncIterator]()
          source.add("later")
          await other.sync("mine")
          assert.strictEqual((await further.next()).value?.content.externalId, "later")
          await further.return?.()
        } finally {
          await other.close()
          await idem.close()
        }
        assert.deepStrictEqual(listeners(), before)
      })
    }).pipe(Effect.scoped)
  )

  it.live("keeps everything in memory for tests", () =>
    Effect.promise(async () => {
      const source = new MemorySource()
      source.addMany(2)
      const idem = await createIdem({ database: "memory", integrations: [integration(source)] })
      try {
        await idem.connect({ domain: "memory", name: "mine", credentials: { token: "t" } })
        assert.strictEqual((await idem.sync("mine")).stored, 2)
        source.add("new")
        const { existing, stored } = await idem.sync("mine")
        assert.deepStrictEqual([stored, existing], [1, 0])
        assert.sameMembers(await idsOf(idem.contents("mine")), [...source.items.keys()])
      } finally {
        await idem.close()
      }
    })
  )

  it.live("says of a task that close interrupts that this Idem is closed", () =>
    Effect.promise(async () => {
      const source = new MemorySource()
      const isListing = Promise.withResolvers<void>()
      source.answer = (method) =>
        method === "list" ? Effect.andThen(Effect.sync(isListing.resolve), Effect.never) : Effect.void
      const idem = await createIdem({ database: "memory", integrations: [integration(source)] })
      await idem.connect({ domain: "memory", name: "mine", credentials: { token: "t" } })
      const refused = idem.sync("mine").then(
        () => "done",
        (error: unknown) => String(error)
      )
      await isListing.promise
      await idem.close()
      assert.match(await refused, /this Idem is closed/)
    })
  )

  it.live("changes a connection that is there, and keeps of it what is not given", () =>
    Effect.promise(async () => {
      const source = new MemorySource()
      source.addMany(2)
      const idem = await createIdem({ database: "memory", integrations: [integration(source)] })
      try {
        const request = { domain: "memory", name: "mine" }
        const first = await idem.connect({ ...request, credentials: { token: "t" }, every: "7 minutes" })
        assert.isTrue(first.created)
        assert.strictEqual((await idem.sync("mine")).stored, 2)
        const again = await idem.connect({ ...request, config: { folder: "" } })
        assert.deepInclude(again, { created: false, connection: { ...again.connection, every: "7 minutes" } })
        assert.strictEqual(again.connection.id, first.connection.id)
        assert.strictEqual((await idem.connect({ ...request, every: "9 minutes" })).connection.every, "9 minutes")
        assert.deepInclude(await idem.sync("mine"), { status: "succeeded", stored: 0 })
        for (const [wrong, message] of [
          [{ domain: "none", name: "mine" }, /there is no integration "none"/],
          [{ domain: "memory", name: " " }, /name may not be empty/]
        ] as const) {
          const error: unknown = await idem.connect(wrong).then(
            () => undefined,
            (reason: unknown) => reason
          )
          assert.match(String(error), message)
        }
      } finally {
        await idem.close()
      }
    })
  )

  it.live("joins a Fastify app, polls while the app is open, and closes with it", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      const source = new MemorySource()
      source.addMany(2)
      yield* Effect.promise(async () => {
        const app = await FastifyExample.makeApp({ database, secretKey, integrations: [integration(source)] })
        try {
          const payload = { domain: "memory", name: "mine", credentials: { token: "t" } }
          assert.strictEqual((await app.inject({ method: "POST", url: "/connections", payload })).statusCode, 200)
          const titles = async () => (await app.inject("/titles/mine")).json() as Array<string>
          while ((await titles()).length < 2) await setTimeout(50)
        } finally {
          await app.close()
        }
      })
    }).pipe(Effect.scoped)
  )

  it.live("joins an Express app, polls while the app is open, and answers what goes wrong", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      const source = new MemorySource()
      source.addMany(2)
      yield* Effect.promise(async () => {
        const { app, close } = await ExpressExample.makeApp({
          database,
          secretKey,
          integrations: [integration(source)]
        })
        const server = app.listen(0, "127.0.0.1")
        try {
          await once(server, "listening")
          const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
          const headers = { "content-type": "application/json" }
          const body = JSON.stringify({ domain: "memory", name: "mine", credentials: { token: "t" } })
          const connected = await fetch(`${url}/connections`, { method: "POST", headers, body })
          assert.strictEqual(connected.status, 200)
          const titles = async () => (await (await fetch(`${url}/titles/mine`)).json()) as Array<string>
          while ((await titles()).length < 2) await setTimeout(50)
          assert.strictEqual((await fetch(`${url}/titles/unknown`)).status, 404)
        } finally {
          server.close()
          await close()
        }
      })
    }).pipe(Effect.scoped)
  )

  it.live("is a worker of a cluster: two of them share the polls, and one goes on where the other ends", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      const source = new MemorySource()
      source.addMany(4)
      const integrations = [integration(source)]
      const worker = () =>
        createIdem({ database, secretKey, integrations, poll: true, settings: { IDEM_CLUSTER: "1" } })
      yield* Effect.promise(async () => {
        const first = await worker()
        const second = await worker()
        try {
          const names = ["a", "b", "c", "d"]
          for (const name of names) await first.connect({ domain: "memory", name, credentials: { token: "t" } })
          for (const name of names) {
            while ((await second.status(name)).totals.stored < 4) await setTimeout(50)
          }
          // When one worker closes, the other takes over its polls.
          await first.close()
          source.add("later")
          await second.connect({ domain: "memory", name: "e", credentials: { token: "t" } })
          while ((await second.status("e")).totals.stored < 5) await setTimeout(50)
        } finally {
          await first.close()
          await second.close()
        }
      })
    }).pipe(Effect.scoped)
  )

  it.live("keeps a sync whose contents could not be derived, and logs why", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      const source = new MemorySource()
      source.addMany(2)
      yield* Effect.promise(async () => {
        const lines: Array<string> = []
        const options = { database, secretKey, integrations: [integration(source)] }
        const idem = await createIdem({ ...options, log: (line) => void lines.push(line) })
        try {
          await idem.connect({ domain: "memory", name: "mine", credentials: { token: "t" } })
          const client = new Client({ connectionString: database })
          await client.connect()
          await client.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON derived.follower FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
          await client.end()
          const { status, stored } = await idem.sync("mine")
          assert.deepStrictEqual([status, stored], ["succeeded", 2])
          assert.include(lines.join("\n"), "deriving the schema mirror")
        } finally {
          await idem.close()
        }
      })
    }).pipe(Effect.scoped)
  )

  it.live("says what is wrong with the database, a connection or a request", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      yield* Effect.promise(async () => {
        const said = (work: Promise<unknown>) =>
          work.then(
            () => "nothing",
            (error: Error) => error.message
          )
        assert.include(
          await said(createIdem({ database: "mysql://localhost/x" })),
          "database is not of the form postgresql://"
        )
        const idem = await createIdem({ database, secretKey })
        try {
          assert.include(await said(idem.sync("mine")), 'there is no connection "mine"')
          assert.include(await said(idem.connect({ domain: "gmial", name: "a" })), "did you mean gmail?")
        } finally {
          await idem.close()
        }
      })
    }).pipe(Effect.scoped)
  )
})
