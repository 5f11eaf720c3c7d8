/** The integration over simulated sources: a well-behaved integration with a misbehaving provider. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Integration from "../../src/contract/Integration.ts"
import { Caller } from "./Caller.ts"
import { Checkpoint } from "./SimulatedCheckpoint.ts"
import * as SimulatedListing from "./SimulatedListing.ts"
import * as SimulatedRequests from "./SimulatedRequests.ts"
import { folders, type SimulatedSource } from "./SimulatedSource.ts"

const Config = Schema.Struct({
  folders: Schema.optionalKey(Schema.Array(Schema.String)),
  note: Schema.optionalKey(Schema.String),
  unitsPerMinute: Schema.optionalKey(Schema.Finite)
})
const Credentials = Schema.Struct({ account: Schema.String, token: Schema.Redacted(Schema.String) })
type Credentials = typeof Credentials.Type

export const make = (edge: SimulatedRequests.Edge): Integration.Integration => {
  const sourceOf = (account: string): SimulatedSource => {
    const source = edge.sources.get(account)
    if (source === undefined) throw new Error(`there is no source ${account}`)
    return source
  }
  const checkpointOf = Checkpoint.pipe(
    // Both accounts use the format of the first source.
    Schema.check(
      Schema.makeFilter<Checkpoint>(({ format }) => {
        const [first] = edge.sources.values()
        return format === first?.format
      })
    )
  )
  return Integration.make<typeof Config.Type, Credentials, Checkpoint>({
    domain: "simulated",
    config: Config,
    credentials: Credentials,
    checkpoint: checkpointOf,
    scope: ["folders"],
    quota: ({ unitsPerMinute }) => ({ unitsPerMinute: unitsPerMinute ?? 1e12 }),
    open: ({ call, config, credentials }) =>
      Effect.map(Caller, (caller) => {
        edge.opened(caller, credentials.account)
        caller.told = { problems: 0, failedItems: 0 }
        const source = sourceOf(credentials.account)
        const slice = { began: source.ticks.next(), isListing: false, pass: null }
        const token = Redacted.value(credentials.token)
        const requests = SimulatedRequests.make({ edge, source, call, caller, token, slice })
        const scope = config.folders ?? folders
        return {
          account: requests.ask("account", "", () => Effect.succeed(source.account)),
          estimate: Effect.succeed({ unitsPerItem: 1 }),
          list: (task, given, parts) =>
            SimulatedListing.list({ edge, source, caller, requests, slice, scope }, task, given, parts),
          download: ({ externalId }) => requests.download(externalId)
        }
      })
  })
}
