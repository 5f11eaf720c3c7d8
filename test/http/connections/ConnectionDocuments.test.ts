import { assert, it } from "@effect/vitest"
import * as Documents from "../../../src/http/connections/ConnectionDocuments.ts"
import { connection } from "../../support/HttpServer.ts"

it("a refused stream of events stands among the problems of a connection", () => {
  const inbox = { place: "inbox", message: "no access" }
  const problems = { current: [inbox], found: [], hints: "open: invalid_auth" }
  assert.deepStrictEqual(Documents.connection({ ...connection, problems }, connection.createdAt, undefined).problems, [
    inbox,
    { place: "events", message: "open: invalid_auth" }
  ])
})
