/** Records the CPU profile of this process in a file that Chrome's DevTools and speedscope show as a flame graph. */
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { Session } from "node:inspector/promises"

/** Runs the effect and writes its CPU profile. */
export const recording = <A, E, R>(effect: Effect.Effect<A, E, R>, file: string): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const session = new Session()
      session.connect()
      await session.post("Profiler.enable")
      await session.post("Profiler.start")
      return session
    }),
    () => effect,
    (session) =>
      Effect.promise(async () => {
        const { profile } = await session.post("Profiler.stop")
        session.disconnect()
        await writeFile(file, JSON.stringify(profile))
      })
  )
