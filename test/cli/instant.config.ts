import { defineConfig } from "@idem-sync/idem/contract"
import { integration } from "../support/InstantSource.ts"

const large = new Uint8Array(5_000_000).map((_, index) => index % 251)

/** Thirty items. One is large enough for the blob store, and three have the same bytes. */
export default defineConfig({
  integrations: [
    integration(
      30,
      (index) => (index === 3 ? large : new TextEncoder().encode(`body ${Math.max(index, 2)}`)),
      "text/plain"
    )
  ]
})
