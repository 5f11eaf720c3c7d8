import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Memory from "../../src/stores/Memory.ts"
import * as Laws from "./laws.ts"
import { Time } from "./scenario.ts"

Laws.suite("Memory", Layer.merge(Memory.layer, Layer.succeed(Time, { pass: (by) => TestClock.adjust(by) })))
