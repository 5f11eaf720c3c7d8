import * as Layer from "effect/Layer"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import * as Laws from "./laws.ts"
import * as PostgresTime from "./postgresTime.ts"

Laws.suite(
  "Postgres",
  Layer.merge(Postgres.layer, PostgresTime.layer).pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer))
)
