/** Browser sessions that were signed out before they expired, in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SessionStore } from "../../engine/store/SessionStore.ts"
import type { State } from "./State.ts"

type Methods = SessionStore["Service"]

const make = (state: State): Methods => ({
  endSession: (hash, ttl) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      for (const [ended, expiresAt] of state.endedSessions) if (expiresAt <= now) state.endedSessions.delete(ended)
      if (!state.endedSessions.has(hash)) state.endedSessions.set(hash, now + Duration.toMillis(ttl))
    }),

  isSessionEnded: (hash) => Effect.map(Clock.currentTimeMillis, (now) => (state.endedSessions.get(hash) ?? 0) > now)
})

export const layer = (state: State): Layer.Layer<SessionStore> => Layer.succeed(SessionStore, make(state))
