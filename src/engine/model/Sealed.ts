/** Sealed values and where they are stored. */

/**
 * A sealed value and its place. `id` is unique within its kind: the id of a connection or a webhook, or the state hash
 * of a sign-in. `subject` names the owner of credentials; null for other kinds.
 */
export interface Sealed {
  readonly kind: "connection" | "sign-in" | "webhook"
  readonly id: string
  readonly subject: { readonly name: string; readonly domain: string; readonly account: string } | null
  readonly sealed: Uint8Array
}
