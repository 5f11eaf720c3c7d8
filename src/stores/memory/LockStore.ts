/** Named locks in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { LockStore } from "../../engine/store/LockStore.ts"
import type { State } from "./State.ts"

const make = (state: State): LockStore["Service"] => ({
  takeLock: (name, { deadHolder, holder, ttl }) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const held = state.locks.get(name)
      if (held !== undefined && held.until > now && held.holder !== holder && held.holder !== deadHolder) {
        return Option.some(held.holder)
      }
      state.locks.set(name, { holder, until: now + Duration.toMillis(ttl) })
      return Option.none()
    }),

  releaseLock: (name, holder) =>
    Effect.sync(() => {
      if (state.locks.get(name)?.holder === holder) state.locks.delete(name)
    })
})

export const layer = (state: State): Layer.Layer<LockStore> => Layer.succeed(LockStore, make(state))
