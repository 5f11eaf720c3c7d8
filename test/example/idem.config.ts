import { defineConfig } from "@idem-sync/idem/contract"
import { github } from "./GitHub.ts"

export default defineConfig({ integrations: [github] })
