import { defineConfig } from "@idem-sync/idem/contract"
import { rss } from "./Rss.ts"

export default defineConfig({ integrations: [rss] })
