/** A source of any size that responds at once and stores nothing, to measure the engine and the stores. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Content } from "../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import * as Integration from "../../src/contract/Integration.ts"
import type { Page } from "../../src/contract/Page.ts"

const pageSize = 500

/** `message-000000123`: the same form as SQL's `'message-' || lpad(i::text, 9, '0')`. */
export const idOf = (index: number): string => `message-${String(index).padStart(9, "0")}`

const indexOf = (externalId: string): number => Number(externalId.slice("message-".length))

export const contentOf = (index: number, body: Content["body"], mediaType = "message/rfc822"): Content => ({
  kind: "message",
  title: `Message ${index}`,
  mediaType,
  metadata: { threadId: `thread ${index % 100}`, labels: { INBOX: true } },
  body
})

/** Makes the integration `instant`, with `count` items and these bodies. */
export const integration = (
  count: number,
  bodyOf: (index: number) => Content["body"],
  mediaType?: string
): Integration.Integration =>
  Integration.make<object, object, number>({
    domain: "instant",
    config: Schema.Struct({}),
    credentials: Schema.Struct({}),
    checkpoint: Schema.Int,
    scope: [],
    quota: () => ({ unitsPerMinute: 1e9 }),
    open: () =>
      Effect.succeed({
        account: Effect.succeed("nobody"),
        estimate: Effect.succeed({ items: count, unitsPerItem: 0 }),
        download: ({ externalId }) => {
          const index = indexOf(externalId)
          return Effect.sync(() => contentOf(index, bodyOf(index), mediaType))
        },
        list: (task, checkpoint) =>
          Stream.paginate(
            Option.getOrElse(checkpoint, () => 0),
            Effect.fnUntraced(function* (from: number) {
              const nothing: ReadonlyArray<Page<number>> = []
              if (from >= count) return [nothing, Option.none<number>()] as const
              const size = Math.min(pageSize, count - from)
              const listed = Array.from({ length: size }, (_, index) => ({ externalId: idOf(from + index) }))
              const download = yield* ContentExistenceChecker.selectNew(task, listed)
              const pages: ReadonlyArray<Page<number>> = [{ listed, download, checkpoint: from + size }]
              return [pages, Option.some(from + size)] as const
            })
          )
      })
  })
