import { defineConfig } from "idem/contract"
import { rss } from "./Rss.ts"

export default defineConfig({ integrations: [rss] })
