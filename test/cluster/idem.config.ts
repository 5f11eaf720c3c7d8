import { defineConfig } from "idem/contract"
import { counter } from "./Counter.ts"

export default defineConfig({ integrations: [counter] })
