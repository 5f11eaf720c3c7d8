/**
 * The laws of integrations, with QRESYNC and without mod-sequences. Messages never change, and a listing lists each
 * message once.
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Conformance from "../../../src/testing/Conformance.ts"
import * as StandIn from "../../support/imap/ImapStandIn.ts"

const scripted = (capabilities: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const failing = new Set<string>()
    const isFailing = (command: string, mailbox: string | undefined) => {
      const [, set] = /^UID FETCH (\S+) .*BODY\.PEEK\[\]/.exec(command) ?? []
      return set !== undefined && [...failing].some((id) => id.startsWith(`${mailbox}/`) && covers(set, id))
    }
    const standIn = yield* StandIn.run({
      capabilities,
      script: (command, mailbox) => (isFailing(command, mailbox) ? { answer: "NO [SERVERBUG] failed" } : undefined)
    })
    const idOf = (mailbox: string, uid: number) => `${mailbox}/${standIn.mailboxes.get(mailbox)?.validity}/${uid}`
    const config = { ...standIn.config, connections: 2 }
    let added = 0
    standIn.create("Archive/a")
    standIn.create("Archive/b")
    return {
      integration,
      config,
      credentials: standIn.credentials,
      usesChecker: true,
      add: (count) =>
        Effect.sync(() =>
          Array.from({ length: count }, () => {
            const mailbox = ["INBOX", "Archive/a", "Archive/b"][added % 3] ?? "INBOX"
            added += 1
            const head = `Message-ID: <${added}@a.example>\r\nSubject: mail ${added}\r\n`
            return idOf(mailbox, standIn.append(mailbox, `${head}\r\nbody ${added}`).uid)
          })
        ),
      ids: Effect.sync(() =>
        [...standIn.mailboxes].flatMap(([name, { messages }]) => messages.map(({ uid }) => idOf(name, uid)))
      ),
      remove: (id) =>
        Effect.sync(() => {
          const [, mailbox = "", uid] = /^(.*)\/\d+\/(\d+)$/.exec(id) ?? []
          standIn.expunge(mailbox, Number(uid))
        }),
      fail: (id, fails) => Effect.sync(() => void (fails ? failing.add(id) : failing.delete(id))),
      narrowed: { config: { ...config, mailboxes: ["Archive/a"] }, keeps: (id) => id.startsWith("Archive/a/") },
      open: standIn.open
    } satisfies Conformance.ScriptedSource
  })

/** Returns true if a sequence set contains the UID of this id. */
const covers = (set: string, id: string): boolean => {
  const uid = Number(id.split("/").at(-1))
  return set.split(",").some((part) => {
    const [from = "", to = from] = part.split(":")
    return uid >= Number(from) && uid <= Number(to)
  })
}

for (const [name, capabilities] of [
  ["with QRESYNC", StandIn.allCapabilities],
  ["without mod-sequences", ["SPECIAL-USE"]]
] as const) {
  describe(`IMAP keeps the laws of integrations ${name}`, () => {
    for (const law of Conformance.laws(scripted(capabilities), { without: ["expire", "repeat", "edit"] })) {
      // The other laws do not depend on mod-sequences.
      const isOfChanges = /^(a sync stores|what is added|what the source removes|`covers`)/.test(law.name)
      if (name !== "with QRESYNC" && !isOfChanges) continue
      it.live(law.name, () => law.check)
    }
  })
}
