/**
 * Members: connections that another connection creates, one for each account that it lists (the users of a company, the
 * sites of a customer). The accounts are that connection's contents, so that the engine lists them, notices when one is
 * gone, and holds too many deletions, as for any content. After each poll the engine creates the connections of new
 * accounts, and retires those of accounts that are gone: it stops them and keeps what they have stored.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Metadata } from "./Content.ts"

/** A stored account. */
export interface Account {
  readonly externalId: string
  readonly metadata: Metadata
}

/** The connection of an account. */
export interface Member<out Config, out Credentials> {
  /** The connection's name. If it is taken, the engine appends to it. */
  readonly name: string
  /** The account, as the source will report it. */
  readonly account: string
  readonly config: Config
  readonly credentials: Credentials
  readonly every: Duration.Duration | undefined
  /** Why this account is not to be mirrored now (`it is suspended`); absent if it is to be mirrored. */
  readonly inactive?: string | undefined
}

/** The members of a definition: their integration by its domain, and the connection of each account. */
export interface Members<in Config, in Credentials> {
  readonly domain: string
  /**
   * Returns the member for a stored account, or undefined if the content is not an account. The members' integration
   * decodes config and credentials.
   */
  readonly of: (
    from: { readonly config: Config; readonly credentials: Credentials },
    account: Account
  ) => Member<unknown, unknown> | undefined
}

/** The same with the schemas closed over: config and credentials are JSON, with secrets in clear. */
export interface AnyMembers {
  readonly domain: string
  readonly of: (from: {
    readonly config: unknown
    readonly credentials: unknown
  }) => Effect.Effect<(account: Account) => Member<unknown, unknown> | undefined, Schema.SchemaError>
}
