import { assert, describe, it } from "@effect/vitest"
import * as FairQueue from "../../../src/engine/schedule/FairQueue.ts"

const queueOf = (...paths: ReadonlyArray<string>) => {
  const queue = FairQueue.make<string>()
  for (const path of paths) FairQueue.add(queue, path.split("/"), path)
  return queue
}

const drain = (queue: FairQueue.FairQueue<string>, accepts: (entry: string) => boolean = () => true) => {
  const polled: Array<string> = []
  for (let entry = FairQueue.poll(queue, accepts); entry !== undefined; entry = FairQueue.poll(queue, accepts)) {
    polled.push(entry)
  }
  return polled
}

describe("a fair queue", () => {
  it("goes on to another group where no entry of a group is accepted", () => {
    const queue = queueOf("a/1", "a/2", "b/3")
    assert.deepStrictEqual(
      drain(queue, (entry) => entry.startsWith("b")),
      ["b/3"]
    )
    assert.deepStrictEqual(drain(queue), ["a/1", "a/2"])
  })

  it("keeps the other entries of a group that an entry leaves", () => {
    const queue = queueOf("a/1", "a/2")
    FairQueue.remove(queue, ["a", "1"], "a/1")
    FairQueue.remove(queue, ["a", "1"], "a/1")
    assert.deepStrictEqual(drain(queue), ["a/2"])
  })

  it("keeps no group without entries", () => {
    const queue = queueOf("a/1", "b/2", "b/3")
    FairQueue.remove(queue, ["b", "3"], "b/3")
    drain(queue)
    assert.strictEqual(queue.groups.size, 0)
    FairQueue.add(queue, ["a", "1"], "again")
    FairQueue.remove(queue, ["a", "1"], "again")
    assert.strictEqual(queue.groups.size, 0)
  })
})
