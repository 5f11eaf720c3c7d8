/**
 * The main job, end to end: the real commands mirror a Gmail mailbox (npm's `emulate`, on loopback) into the database
 * that Idem starts by itself, in a folder that is removed afterwards. Each step checks its output; the exit code is 0
 * only if all steps succeed.
 */
import { styleText } from "node:util"
import { type Answer, close, connect, idem, send, start } from "./Mailboxes.ts"

const dim = (text: string) => styleText("dim", text)

const title = (text: string) => console.log(`\n${styleText("bold", text)}`)

/** Prints a sync's counts, and checks the expected ones. */
const shows = (result: Answer, expected: Answer) => {
  const names = ["listed", "existing", "stored", "unchanged", "downloads", "apiCalls"]
  console.log(`  ${names.map((name) => `${name} ${String(result[name])}`).join(dim("  ·  "))}`)
  for (const [name, value] of Object.entries(expected)) {
    if (result[name] !== value) throw new Error(`${name} should be ${String(value)}, but is ${String(result[name])}`)
  }
}

const stored = async (name: string) => {
  const status = (await idem("status", name)) as { connections?: ReadonlyArray<{ totals: { stored: number } }> }
  return status.connections?.[0]?.totals.stored ?? 0
}

const demo = async () => {
  title("1  A mailbox of 48 messages is connected and synced")
  await connect("me", "token-me", 1e9)
  shows(await idem("sync", "me"), { stored: 48, downloads: 48 })

  title("2  The same again: one call, nothing to do")
  shows(await idem("sync", "me"), { stored: 0, downloads: 0, apiCalls: 1 })

  title("3  Three messages arrive: only those are downloaded")
  for (const subject of ["one", "two", "three"]) await send(subject)
  shows(await idem("sync", "me"), { stored: 3, downloads: 3 })

  title("4  One id is forced: downloaded again, found unchanged, nothing listed")
  shows(await idem("sync", "me", "--force-id", "me-0007"), { listed: 0, forced: 1, unchanged: 1, downloads: 1 })

  title("5  A first sync of 400 messages is killed in the middle, and run again")
  await connect("archive", "token-archive", 100_000)
  const victim = start("sync", "archive")
  const ended = new Promise((resolve) => victim.on("close", resolve))
  let before = 0
  while (before < 100 && victim.exitCode === null) before = await stored("archive")
  victim.kill("SIGKILL")
  await ended
  before = await stored("archive")
  console.log(dim(`  kill -9 with ${before} of 400 stored`))
  const resumed = await idem("sync", "archive")
  shows(resumed, { status: "succeeded", stored: 400 - before, downloads: 400 - before })
  if (before === 0 || before === 400) throw new Error("the run was not killed in the middle")

  title("6  What is stored")
  const { contents } = (await idem("contents", "me", "--limit", "4")) as { contents: ReadonlyArray<Answer> }
  for (const row of contents)
    console.log(`  ${String(row["externalId"])}  ${String(row["title"])}  ${dim(String(row["hash"]).slice(0, 12))}`)
  if ((await stored("me")) !== 51 || (await stored("archive")) !== 400) throw new Error("not everything is stored once")
  console.log(dim("  51 in me, 400 in archive, each once"))
}

try {
  await demo()
  console.log(`\n${styleText("green", "Each step did what it says.")}`)
} catch (error) {
  console.error(`\n${styleText("red", error instanceof Error ? error.message : String(error))}`)
  process.exitCode = 1
} finally {
  await close()
}
