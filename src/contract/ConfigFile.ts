/**
 * `idem.config.ts`, with which whoever runs Idem adds integrations of their own: the default export is what
 * `defineConfig` gives.
 *
 * An integration's settings are the arguments of the function that makes it, so they are typed where it is written.
 *
 * @example
 * export default defineConfig({ integrations: [rss({ userAgent: "news.example" })] })
 */
import type { Integration } from "./Integration.ts"

export interface ConfigFile {
  /** At most one integration for each domain. It replaces the built-in one of its domain. */
  readonly integrations: ReadonlyArray<Integration>
}

/** The same config, with its type checked. */
export const defineConfig = (config: ConfigFile): ConfigFile => config
