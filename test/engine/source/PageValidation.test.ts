import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import type { AnySession } from "../../../src/contract/Integration.ts"
import type { Page } from "../../../src/contract/Page.ts"
import { noParts } from "../../../src/contract/Parts.ts"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import * as PageValidation from "../../../src/engine/source/PageValidation.ts"

const refs = (count: number) => Array.from({ length: count }, (_, index) => ({ externalId: `${index}` }))
const parts = (count: number) => Array.from({ length: count }, (_, index) => ({ key: `${index}`, checkpoint: null }))
/** A text that takes this many bytes as JSON: two quotes, and a letter of two bytes. */
const text = (bytes: number) => `é${"x".repeat(bytes - 4)}`

/** Lists a sound page and then this one. Returns the problem that it ends with; undefined if it ends without one. */
const problemOf = (page: object) => {
  const sound: Page<Schema.Json> = { listed: [], download: [], checkpoint: null }
  const session: AnySession = {
    account: Effect.succeed("me"),
    estimate: Effect.succeed({ unitsPerItem: 1 }),
    list: () => Stream.make(sound, { ...sound, ...page }),
    download: () => Effect.die("nothing is downloaded")
  }
  return Stream.runDrain(PageValidation.checked(session, "test").list(SyncTask.poll, Option.none(), noParts)).pipe(
    Effect.match({ onFailure: ({ message }) => message, onSuccess: () => undefined }),
    Effect.provide(ContentExistenceChecker.layerTest([]))
  )
}

describe("a page", () => {
  it.effect("at each of its bounds is accepted", () =>
    Effect.gen(function* () {
      const pages: ReadonlyArray<Partial<Page<Schema.Json>>> = [
        { listed: refs(1000), download: refs(1000), checkpoint: text(65_536) },
        { parts: [...parts(999), { key: "k".repeat(1024), checkpoint: text(4096) }] },
        { listing: "pass", covers: [{ prefix: "" }], complete: true },
        { covers: [], complete: false },
        // An id that can't be stored is a problem of the run.
        { listed: [{ externalId: "" }] }
      ]
      for (const page of pages) assert.isUndefined(yield* problemOf(page))
    })
  )

  it.effect("beyond a bound is refused, with its number and the field", () =>
    Effect.gen(function* () {
      const pages: ReadonlyArray<readonly [object, string]> = [
        [{ listed: refs(1001) }, "`listed` has 1001 refs, more than 1000"],
        [{ download: refs(1001) }, "`download` has 1001 refs, more than 1000"],
        [{ download: undefined }, "`download` must be an array of refs"],
        [{ download: [undefined] }, "in `download`: an external id must be a text"],
        [{ listed: [{ externalId: "a" }, { externalId: 1 }] }, "in `listed`: an external id must be a text"],
        [{ checkpoint: text(65_537) }, "the checkpoint has 65537 bytes, more than 65536"],
        [{ parts: parts(1001) }, "1001 parts are moved, more than 1000"],
        [
          { parts: [...parts(1), { key: "k", checkpoint: text(4097) }] },
          'the checkpoint of part "k" has 4097 bytes, more than 4096'
        ],
        [{ parts: [{ key: "", checkpoint: null }] }, "the key of a part: it may not be empty"],
        [{ covers: [{ prefix: "a" }] }, "`covers` and `complete` need `listing`"],
        [{ complete: true }, "`covers` and `complete` need `listing`"],
        [{ deleted: null }, "`deleted` must be an array, or absent"],
        [{ deleted: "abc" }, "`deleted` must be an array, or absent"],
        [{ deleted: ["a", 1] }, "in `deleted`: an external id must be a text"],
        [{ patches: [null] }, "in `patches`: an external id must be a text"],
        [
          { patches: [{ externalId: "a" }] },
          'in `patches`: the patch of "a": `metadata` must be an object of JSON values'
        ],
        [
          { patches: [{ externalId: "a", metadata: [1] }] },
          'in `patches`: the patch of "a": `metadata` must be an object of JSON values'
        ],
        [
          { patches: [{ externalId: "a", metadata: {}, revision: 4 }] },
          'in `patches`: the patch of "a": a revision must be a text, or absent'
        ],
        [{ problems: [null] }, "in `problems`: `place` and `message` must be texts"],
        [{ listing: 5 }, "`listing` must be a text, or absent"],
        [{ listing: "l", covers: [{}] }, "in `covers`: `prefix` must be a text"],
        [
          { listing: "l", covers: [{ prefix: "", except: "a" }] },
          "in `covers`: `except` must be an array of texts, or absent"
        ],
        [{ listing: "l", complete: "yes" }, "`complete` must be true or false, or absent"],
        [{ remaining: Number.NaN }, "`remaining` must be a number from 0, or absent"],
        [{ checkpoint: undefined }, "`checkpoint` is absent"],
        [{ listed: [{ externalId: "a", copy: null }] }, "in `listed`: the `bodyKey` of a `copy` must be a text"],
        [{ checkpoint: { at: new Date(0) } }, "`page.checkpoint.at` is a Date, not a JSON value"]
      ]
      for (const [page, problem] of pages) {
        assert.strictEqual((yield* problemOf(page))?.split(": the same text")[0], `test, page 2: ${problem}`)
      }
    })
  )
})
