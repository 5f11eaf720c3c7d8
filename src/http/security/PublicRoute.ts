/**
 * What is asked without a token: all else needs one, whoever adds it. These routes say nothing of what is stored, or (the
 * end of a sign-in at a provider, which no cookie comes along with) are guarded by a secret of their own.
 */
const open: ReadonlySet<string> = new Set(["/", "/favicon.ico", "/health", "/ready", "/session", "/sign-in/callback"])

/** Whether the route of this pattern is answered to anybody who reaches the server. */
export const isOpen = (pattern: string): boolean => open.has(pattern) || pattern.startsWith("/assets/")
