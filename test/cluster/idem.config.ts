import { defineConfig } from "@idem-sync/idem/contract"
import { counter } from "./Counter.ts"

export default defineConfig({ integrations: [counter] })
