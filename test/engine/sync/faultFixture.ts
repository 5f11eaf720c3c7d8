/** Integrations with a fault in one of their functions. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type { AnySession } from "../../../src/contract/Integration.ts"
import { Limits } from "../../../src/engine/Limits.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { integration, MemorySource } from "../../support/MemorySource.ts"
import { engineOver } from "../../support/TestEngine.ts"

/** An engine over a source whose sessions are changed, with the lines of its log. */
export const changed = (
  source: MemorySource,
  change: (session: AnySession) => AnySession,
  limits: Partial<Limits> = {}
) => {
  const real = integration(source)
  const log: Array<string> = []
  const engine = engineOver(Memory.layer, {
    ...real,
    open: (options) => Effect.map(real.open(options), change)
  })
  const layer = engine.pipe(
    Layer.provideMerge(
      Layer.effect(
        Limits,
        Effect.map(Limits, (defaults) => ({ ...defaults, ...limits }))
      )
    ),
    Layer.provideMerge(Logger.layer([Logger.map(Logger.formatSimple, (line) => void log.push(line))]))
  )
  return { layer, log }
}
