/**
 * Public routes. Every other route requires authentication. Public routes reveal nothing of what is stored. The end of
 * a sign-in at a provider, where no cookie is sent, is protected by a secret of its own. Callbacks of providers are
 * signed.
 */
const open: ReadonlySet<string> = new Set(["/", "/favicon.ico", "/health", "/ready", "/session", "/sign-in/callback"])

/** True if the route of this pattern is public. */
export const isOpen = (pattern: string): boolean =>
  open.has(pattern) || pattern.startsWith("/assets/") || pattern.startsWith("/events/")
