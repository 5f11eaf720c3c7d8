/** A single listing of a feed, without the engine. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import type { Network } from "../../../src/contract/Network.ts"
import { noParts } from "../../../src/contract/Parts.ts"
import { poll } from "../../../src/contract/SyncTask.ts"
import { integration } from "../../../src/integrations/Rss.ts"

interface Options {
  /** The checkpoint of the listing. */
  readonly place?: Option.Option<Schema.Json>
  /** The stored parts. Pages of this listing change them. */
  readonly parts?: Map<string, Schema.Json>
  /** The most pages to read. */
  readonly pages?: number
  /** The stored revisions, by external id. */
  readonly known?: ReadonlyMap<string, string | undefined>
  readonly force?: boolean
  readonly network?: Network | undefined
}

export const list = (
  url: string,
  {
    force = false,
    known = new Map(),
    network,
    pages = Number.MAX_SAFE_INTEGER,
    parts = new Map(),
    place = Option.none()
  }: Options = {}
) =>
  Effect.gen(function* () {
    const session = yield* integration.open({
      config: { url },
      credentials: {},
      call: (_method, _units, request) => request,
      network,
      saveCredentials: () => Effect.void
    })
    const get = (keys: ReadonlyArray<string>) =>
      Effect.sync(
        () => new Map(keys.flatMap((key) => (parts.has(key) ? [[key, parts.get(key) ?? null] as const] : [])))
      )
    const listed = yield* session.list({ ...poll, force }, place, { ...noParts, get }).pipe(
      Stream.take(pages),
      Stream.tap((page) =>
        Effect.sync(() => {
          for (const { checkpoint, key } of page.parts ?? []) parts.set(key, checkpoint)
        })
      ),
      Stream.runCollect
    )
    return {
      ids: listed.flatMap((page) => page.listed.map(({ externalId }) => externalId)),
      revisions: new Map(listed.flatMap((page) => page.listed.map((ref) => [ref.externalId, ref.revision] as const))),
      chosen: listed.flatMap((page) => page.download.map(({ externalId }) => externalId)),
      problems: listed.flatMap(({ problems = [] }) => problems),
      pages: listed.length,
      checkpoint: Option.fromUndefinedOr(listed.at(-1)?.checkpoint)
    }
  }).pipe(Effect.scoped, Effect.provide(ContentExistenceChecker.layerTest(known)))
