/**
 * The integration `counter`: the items of an account are numbers, listed and downloaded from a server on loopback
 * (CounterServer.ts). Each request names its process.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"

const Listing = Schema.Struct({ ids: Schema.Array(Schema.String), next: Schema.Int, more: Schema.Boolean })
const decodeListing = Schema.decodeUnknownPromise(Listing)

const Config = Schema.Struct({
  url: Schema.String,
  account: Schema.String,
  /** Accounts with the same owner share a quota. */
  owner: Schema.optionalKey(Schema.String),
  quota: Schema.optionalKey(Idem.Integration.QuotaConfig)
})

export const counter = Idem.Integration.make<typeof Config.Type, object, number>({
  domain: "counter",
  config: Config,
  credentials: Schema.Struct({}),
  checkpoint: Schema.Int,
  scope: ["account"],
  quota: ({ quota }) => ({ unitsPerMinute: 1_000_000_000, ...quota }),
  open: ({ call, config: { account, owner, url } }) => {
    const get = <A>(what: string, query: Readonly<Record<string, string>>, read: (response: Response) => Promise<A>) =>
      call(
        what,
        1,
        Effect.tryPromise({
          try: async (signal) => {
            const search = new URLSearchParams({ account, process: String(process.pid), ...query })
            const response = await fetch(`${url}/${what}?${search.toString()}`, { signal })
            if (response.status === 429) {
              await response.body?.cancel()
              const retryAfter = Duration.millis(Number(response.headers.get("retry-after-ms") ?? 1000))
              throw new Idem.RateLimited({ message: "429", retryAfter })
            }
            if (!response.ok) throw new Idem.Transient({ message: `the counter answers ${response.status}` })
            return await read(response)
          },
          catch: (cause) =>
            new Idem.IntegrationError({
              reason: Schema.is(Idem.Reason)(cause) ? cause : new Idem.Transient({ message: String(cause) })
            })
        })
      )
    return Effect.succeed({
      account: Effect.succeed(owner ?? account),
      estimate: Effect.succeed({ unitsPerItem: 1 }),
      download: ({ externalId }) =>
        Effect.map(
          get("item", { id: externalId }, (response) => response.bytes()),
          (body): Idem.Content => ({ kind: "number", metadata: {}, body })
        ),
      list: (task, checkpoint) =>
        Stream.paginate(
          Option.getOrElse(checkpoint, () => 0),
          Effect.fnUntraced(function* (after: number) {
            const page = yield* get("list", { after: String(after) }, (response) =>
              response.json().then((json) => decodeListing(json))
            )
            const listed = page.ids.map((externalId) => ({ externalId }))
            const download = yield* Idem.ContentExistenceChecker.selectNew(task, listed)
            const pages: ReadonlyArray<Idem.Page<number>> =
              listed.length === 0 ? [] : [{ listed, download, checkpoint: page.next }]
            const rest: Option.Option<number> = page.more ? Option.some(page.next) : Option.none()
            return [pages, rest] as const
          })
        )
    })
  }
})
