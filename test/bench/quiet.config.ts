import { defineConfig } from "@idem-sync/idem/contract"
import { quiet } from "./QuietSource.ts"

export default defineConfig({ integrations: [quiet(() => undefined)] })
