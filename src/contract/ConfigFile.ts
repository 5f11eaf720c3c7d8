/**
 * `idem.config.ts` adds a person's own integrations: its default export is the result of `defineConfig`. The settings
 * of an integration are the arguments of the function that makes it, so they are typed where they are written.
 *
 * @example
 *
 * export default defineConfig({ integrations: [rss({ userAgent: "news.example" })] })
 */
import type { Integration } from "./Integration.ts"

export interface ConfigFile {
  /** At most one integration for each domain. It replaces the built-in one of its domain. */
  readonly integrations: ReadonlyArray<Integration>
}

/** The same config, with its type checked. */
export const defineConfig = (config: ConfigFile): ConfigFile => config
