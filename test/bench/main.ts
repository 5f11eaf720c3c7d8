/** `npm run bench` runs all benchmarks, `npm run bench -- NAME` one, on a PostgreSQL of their own. */
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as Check from "./Check.ts"
import * as Database from "./Database.ts"
import * as Storing from "./Storing.ts"
import { print } from "./Table.ts"

const benches = { check: Check.run, store: Storing.run }

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in benches))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(", ")}; there are: ${Object.keys(benches).join(", ")}`)
  process.exit(2)
}

const chosen = Object.entries(benches).filter(([name]) => asked.length === 0 || asked.includes(name))
const rows = await Effect.forEach(chosen, ([name, bench]) => {
  console.error(`running ${name} …`)
  return Effect.provide(bench, Database.layer)
}).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "Warn"), Effect.runPromise)
print(rows.flat())
