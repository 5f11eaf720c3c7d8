/**
 * `rest` makes an integration from a description of a paginated REST API: where the items are, how pages follow each
 * other, and how an item becomes content.
 */
import * as Effect from "effect/Effect"
import type { OpenOptions } from "./Definition.ts"
import * as Integration from "./Integration.ts"
import * as Auth from "./RestAuth.ts"
import { Checkpoint } from "./RestCheckpoint.ts"
import { PageState } from "./RestPage.ts"
import { openSession } from "./RestSession.ts"
import type { RestSource } from "./RestSource.ts"

const compile = <Config extends object, Credentials>(
  source: RestSource<Config>,
  auth: Auth.Auth<Config, Credentials>
): Integration.Integration => {
  const { address, callTimeout, config, deletionLimits, domain, guide, leftOut, projection, quota, scope } = source
  const { summary, title } = source
  const about = { domain, title, summary, guide, config, scope, address, quota, leftOut, callTimeout, projection }
  return Integration.make({
    ...about,
    deletionLimits,
    credentials: auth.credentials,
    signIn: auth.signIn,
    checkpoint: Checkpoint,
    part: PageState,
    open: (options: OpenOptions<Config, Credentials>) =>
      Effect.sync(() => openSession(source, auth.authorize(options), options))
  })
}

/** Makes an integration from the description of a REST API. */
export const rest = <Config extends object>(source: RestSource<Config>): Integration.Integration => {
  const { auth } = source
  switch (auth.type) {
    case "none":
      return compile(source, Auth.none())
    case "bearer":
      return compile(source, Auth.bearer())
    case "basic":
      return compile(source, Auth.basic())
    case "header":
      return compile(source, Auth.header(auth.name))
    case "oauth2":
      return compile(source, Auth.oauth2(auth))
  }
}
