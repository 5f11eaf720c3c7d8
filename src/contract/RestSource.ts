/** The description of a REST API as a source. */
import type { Definition } from "./Definition.ts"
import type { Reason } from "./IntegrationError.ts"
import type { Refusal } from "./HttpRequest.ts"
import type { RestAuth } from "./RestAuth.ts"
import type { RestResource } from "./RestResource.ts"

type Shared =
  | "domain"
  | "title"
  | "summary"
  | "guide"
  | "config"
  | "scope"
  | "address"
  | "quota"
  | "leftOut"
  | "callTimeout"
  | "projection"
  | "deletionLimits"

export interface RestSource<Config> extends Pick<Definition<Config, never, never>, Shared> {
  /** The base URL of all paths. Name in `address` the config fields that it depends on. */
  readonly baseUrl: (config: Config) => string | URL
  readonly auth: RestAuth<Config>
  /** Headers of every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The resources by name, in the order in which they are listed. A name has no `/`, and never changes. */
  readonly resources: (config: Config) => Readonly<Record<string, RestResource>>
  /** Classifies a refusal, if the source's error text says more than the status; undefined leaves it to the status. */
  readonly refusal?: ((refusal: Refusal) => Reason | undefined) | undefined
}
