/** Sealed values and where they are stored. */

/**
 * A sealed value, and where it stands. `id` is unique within its kind: a connection's id, a webhook's, a sign-in's state
 * hash. `subject` says whose credentials they are; null for the rest.
 */
export interface Sealed {
  readonly kind: "connection" | "sign-in" | "webhook"
  readonly id: string
  readonly subject: { readonly name: string; readonly domain: string; readonly account: string } | null
  readonly sealed: Uint8Array
}
