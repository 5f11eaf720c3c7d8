import { assert, it } from "@effect/vitest"
import type { Budget } from "../../../src/contract/Integration.ts"
import { unlimited } from "../../../src/contract/Quota.ts"
import * as CallLimits from "../../../src/engine/source/CallLimits.ts"

const account = { key: "me", unitsPerMinute: 600, methods: { get: 60 } }
const client = { key: "client", unitsPerDay: 1000, bytesPerDay: 5000 }
const workspace = { key: "workspace", methods: { list: 20 } }
const budgets = [account, workspace, client] as const

it("a call spends its units from each budget, those of a day first, and one from its method's limit", () => {
  const ofDay = { key: "test/client a day", name: "client", per: "day", limit: 1000, tokens: 5 }
  const ofAccount = { key: "test/me", name: "me", per: "minute", limit: 600, tokens: 5 }
  assert.deepStrictEqual<unknown>(CallLimits.of("test", budgets, "get", 5).buckets, [
    ofDay,
    { key: "test/me/get", name: "me", per: "minute", limit: 60, tokens: 1 },
    ofAccount
  ])
  assert.deepStrictEqual<unknown>(CallLimits.of("test", budgets, "list", 5).buckets, [
    ofDay,
    ofAccount,
    { key: "test/workspace/list", name: "workspace", per: "minute", limit: 20, tokens: 1 }
  ])
})

it("bytes of a day are spent from the budgets that limit them", () => {
  assert.deepStrictEqual<unknown>(CallLimits.of("test", budgets, "get", 5).bytes, [
    { key: "test/client bytes a day", name: "client", per: "day", limit: 5000 }
  ])
})

it("a refusal slows down the method's own limit if it has one, else all calls of the first budget", () => {
  const adaptive = (budget: Budget, method: string) => CallLimits.of("test", [budget], method, 1).adaptive
  assert.deepStrictEqual(adaptive(account, "get"), { key: "test/me/get", perMinute: 60 })
  assert.deepStrictEqual(adaptive(account, "list"), { key: "test/me", perMinute: 600 })
  assert.deepStrictEqual(adaptive(client, "get"), { key: "test/client", perMinute: unlimited })
})
