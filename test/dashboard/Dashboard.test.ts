/** The dashboard of a running server, in a real browser. */
import { describe, layer } from "@effect/vitest"
import { skips } from "../support/Requirement.ts"
import * as Browser from "./Browser.ts"
import { connecting } from "./Connecting.ts"
import { contents } from "./Contents.ts"
import { reading } from "./Reading.ts"
import { states } from "./States.ts"
import { reference } from "./Reference.ts"
import { ServerAndBrowser } from "./ServerAndBrowser.ts"
import { webhooks } from "./Webhooks.ts"

describe.skipIf(skips("the dashboard's tests", Browser.missing))("the dashboard", () => {
  // All tests share a server and a browser. Each test continues from the state that the previous one left.
  layer(ServerAndBrowser.layer, { excludeTestServices: true })((it) => {
    connecting(it)
    reading(it)
    states(it)
    contents(it)
    webhooks(it)
    reference(it)
  })
})
