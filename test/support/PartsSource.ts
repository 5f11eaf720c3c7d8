/** A scripted source of folders, whose integration keeps the position in each folder in a part. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import * as Integration from "../../src/contract/Integration.ts"
import type { Page } from "../../src/contract/Page.ts"
import type { PartMove } from "../../src/contract/Parts.ts"
import { bytes } from "./MemorySource.ts"

const Checkpoint = Schema.Struct({ pages: Schema.Int })
const Part = Schema.Struct({ listed: Schema.Int })
type Part = typeof Part.Type
type FolderPage = Page<typeof Checkpoint.Type, Part>

export class PartsSource {
  readonly folders = new Map<string, Array<string>>()
  readonly pageSize = 5
  /** Every listed id, once for each time it was listed. */
  readonly listed: Array<string> = []

  add(count: number): ReadonlyArray<string> {
    return Array.from({ length: count }, (_, index) => {
      const folder = `folder ${index % 7}`
      const items = this.folders.get(folder) ?? []
      this.folders.set(folder, items)
      const id = `${folder}/${items.length}`
      items.push(id)
      return id
    })
  }

  ids(): ReadonlyArray<string> {
    return Array.from(this.folders.values()).flat()
  }
}

/**
 * Makes the integration. `change` breaks how a page moves its parts; its argument is the number of items in the folder.
 */
export const integration = (
  source: PartsSource,
  change: (moves: ReadonlyArray<PartMove<Part>>, items: number) => ReadonlyArray<PartMove<Part>> = (moves) => moves
): Integration.Integration =>
  Integration.make({
    domain: "parts",
    config: Schema.Struct({}),
    credentials: Schema.Struct({}),
    checkpoint: Checkpoint,
    part: Part,
    scope: [],
    quota: () => ({ unitsPerMinute: 1_000_000_000 }),
    open: ({ call }) =>
      Effect.succeed({
        account: Effect.succeed("parts"),
        estimate: Effect.succeed({ unitsPerItem: 1 }),
        download: ({ externalId }) =>
          call("download", 1, Effect.succeed({ kind: "file", metadata: {}, body: bytes(`body of ${externalId}`) })),
        list: (task, checkpoint, parts) => {
          let pages = Option.match(checkpoint, { onNone: () => 0, onSome: (from) => from.pages })
          /** Returns a page of this folder, if any items are left. */
          const pageOf = Effect.fnUntraced(function* (folder: string) {
            const items = yield* call("list", 1, Effect.succeed(source.folders.get(folder) ?? []))
            const from = (yield* parts.get([folder])).get(folder)?.listed ?? 0
            const listed = items.slice(from, from + source.pageSize).map((externalId) => ({ externalId }))
            if (listed.length === 0) return []
            source.listed.push(...listed.map(({ externalId }) => externalId))
            pages += 1
            const page: FolderPage = {
              listed,
              download: yield* ContentExistenceChecker.selectNew(task, listed),
              checkpoint: { pages },
              parts: change([{ key: folder, checkpoint: { listed: from + listed.length } }], items.length)
            }
            return [page]
          })
          // Pages of the folders alternate, so that a crash leaves several parts half listed.
          return Stream.paginate(0, (round: number) =>
            Effect.map(Effect.forEach(source.folders.keys(), pageOf), (found) => {
              const some = found.flat()
              return [some, some.length === 0 ? Option.none<number>() : Option.some(round + 1)] as const
            })
          )
        }
      })
  })
