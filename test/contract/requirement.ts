/**
 * An integration that the compiler must refuse, because it requires another service than the checker.
 * `Integration.test.ts` compiles it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import type { Session } from "../../src/contract/Integration.ts"

class Database extends Context.Service<Database, { readonly query: Effect.Effect<number> }>()("test/Database") {}

const page = { listed: [], download: [], checkpoint: 0 }

/** Requiring the checker is allowed. */
export const allowed: Session<number>["list"] = () =>
  Stream.fromEffect(ContentExistenceChecker.use((checker) => Effect.as(checker.existing([]), page)))

/** Requiring nothing is allowed, because using the checker is optional. */
export const optedOut: Session<number>["list"] = () => Stream.succeed(page)

const needsDatabase = () => Stream.fromEffect(Database.use((database) => Effect.as(database.query, page)))

// @ts-expect-error: a database is not an integration's business
export const refused: Session<number>["list"] = needsDatabase

const asksInDownload = () =>
  ContentExistenceChecker.use((checker) => Effect.andThen(checker.existing([]), Effect.never))

// @ts-expect-error: a download may need nothing, not even the checker
export const refusedDownload: Session<number>["download"] = asksInDownload
