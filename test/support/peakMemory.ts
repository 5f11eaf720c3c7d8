/**
 * Loaded before a program (`--import`): at its end it writes the peak of its resident memory, in bytes, to `PEAK_FILE`.
 */
import { writeFileSync } from "node:fs"

process.on("exit", () => writeFileSync(process.env["PEAK_FILE"] ?? "", String(process.resourceUsage().maxRSS * 1024)))
