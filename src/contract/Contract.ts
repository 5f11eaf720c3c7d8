/**
 * The package's entry `@idem-sync/idem/contract`: everything that an author of integrations imports. Files of this
 * repository import the modules themselves.
 *
 * `AccessToken`, `Integration` and `SignIn` are exported as namespaces (`Integration.make`, `Integration.Session`, …),
 * all other names directly.
 */
export * as AccessToken from "./AccessToken.ts"
export * from "./ConfigFile.ts"
export * from "./Content.ts"
export * from "./ContentExistenceChecker.ts"
export * from "./Hints.ts"
export { type About, field } from "./Field.ts"
export * as Integration from "./Integration.ts"
export * from "./IntegrationError.ts"
export * from "./Members.ts"
export type { Network } from "./Network.ts"
export * from "./Page.ts"
export * from "./Parts.ts"
export * as Projection from "./Projection.ts"
export * from "./Redaction.ts"
export { rest } from "./Rest.ts"
export type { Refusal as RestRefusal } from "./HttpRequest.ts"
export type { RestAuth } from "./RestAuth.ts"
export {
  type RestChild,
  type RestChildDescription,
  restChild,
  type RestChildren,
  type RestContent,
  type RestCounted,
  type RestCursor,
  type RestDescription,
  type RestPath,
  type RestRequest,
  type RestResource,
  restResource
} from "./RestResource.ts"
export type { RestSource } from "./RestSource.ts"
export * as SignIn from "./SignIn.ts"
export * from "./SyncTask.ts"
