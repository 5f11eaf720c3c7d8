/** A connection to an account of an IMAP server, with a second client that represents the account's owner. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { ImapFlow } from "imapflow"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Harness from "../../../src/testing/Harness.ts"

export const mail = (name: string | number): Buffer =>
  Buffer.from(
    [
      `Received: from a.example by b.example id ${name}; Mon, 1 Jan 2024 00:00:00 +0000`,
      `Message-ID: <${name}@example.org>`,
      `Subject: mail ${name}`,
      "From: Ann <ann@example.org>",
      "",
      `body ${name}`,
      ""
    ].join("\r\n")
  )

/** Returns when the message at `index` in the order of `append` was received. */
export const dateOf = (index: number) => new Date(1_700_000_000_000 + index * 60_000)

export interface Options {
  /** Connects a client of the account's owner. */
  readonly connect: Effect.Effect<ImapFlow, never, Scope.Scope>
  readonly credentials: unknown
  readonly config: Record<string, unknown>
}

export interface Account {
  readonly process: Harness.Process
  readonly watch: Harness.Watcher
  readonly append: (mailbox: string, ...names: ReadonlyArray<string | number>) => Effect.Effect<void>
  readonly by: (act: (hands: ImapFlow) => Promise<unknown>) => Effect.Effect<void>
  /** The mailbox and subject of each stored message. */
  readonly stored: Effect.Effect<ReadonlyArray<string>>
  /** Flags by subject. */
  readonly flags: Effect.Effect<Readonly<Record<string, unknown>>>
  /** Syncs, and fails if the run reports a problem. */
  readonly poll: Effect.Effect<Effect.Success<ReturnType<Harness.Process["sync"]>>["counts"]>
}

export const make = Effect.fnUntraced(function* ({
  config,
  connect,
  credentials
}: Options): Effect.fn.Return<Account, never, Scope.Scope> {
  const watch = Harness.watcher()
  const store = yield* Harness.makeStore
  const process = yield* Harness.start({ integration, credentials, store, watch })
  const { id } = yield* process.connect(config)
  const rows = Effect.map(Effect.orDie(store.contents(id, { state: "stored", limit: 1000 })), (page) => page.contents)
  const scope = yield* Effect.scope
  let hands = yield* connect
  // The server may close the connection between two changes.
  const by = Effect.fnUntraced(function* (act: (hands: ImapFlow) => Promise<unknown>) {
    if (!hands.usable) hands = yield* Scope.provide(connect, scope)
    yield* Effect.promise(() => act(hands))
  })
  let index = 0
  return {
    process,
    watch,
    append: (mailbox, ...names) =>
      by(async (hands) => {
        for (const name of names) await hands.append(mailbox, mail(name), [], dateOf(index++))
      }),
    by,
    stored: Effect.map(rows, (found) => found.map((row) => `${String(row.metadata.mailbox)}: ${row.title}`).toSorted()),
    flags: Effect.map(rows, (found) => Object.fromEntries(found.map((row) => [row.title ?? "", row.metadata.flags]))),
    poll: Effect.flatMap(process.sync(), ({ counts, problems, status }) => {
      assert.deepStrictEqual([status, problems], ["succeeded", []])
      return Effect.succeed(counts)
    })
  }
})
