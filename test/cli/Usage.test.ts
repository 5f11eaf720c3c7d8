import * as ConfigProvider from "effect/ConfigProvider"
import * as Layer from "effect/Layer"
import * as CommandFailure from "../../src/cli/CommandFailure.ts"
import * as DownloadBudget from "../../src/engine/sync/DownloadBudget.ts"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const secret = "hunter2-s3cret"

describe("wrong usage", () => {
  it.effect("ends with 2 and one line, before a database is started", () =>
    Effect.gen(function* () {
      const { run, started } = yield* CommandLine.make(new MemorySource())
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
        [["snyc", "work"], `there is no command "snyc"; did you mean sync?`],
        [["sync"], "the connection is missing"],
        [["sync", "work", "--frce"], "there is no flag --frce; did you mean --force?"],
        [["sync", "work", "more"], `there are too many arguments: "more"`],
        [["sync", "work", "--force-id", "x".repeat(10_000)], "an external id may have at most 1024 bytes"],
        [["sync", "work", "--force-id", "a\0b"], `the id "a\\u{0}b" is not valid: an external id may not hold a NUL`],
        [["sync", "work", "--force-id", ""], "an external id may not be empty"],
        [["sync", "work", "-fh"], "there is no flag -fh"],
        [["show", "--plain", "-dash.txt"], "there is no flag --plain"],
        [["show", "work", "x", "--text", "--raw"], "--raw writes bytes, and --text a text: choose one of them"],
        [["sync", "work", "--since", "2026-01-01T10:00"], `--since "2026-01-01T10:00": it has no offset`],
        [["sync", "work", "--since", "2026-01-02", "--until", "2026-01-01"], "must be before --until"],
        [["sync", "a\u0007b"], "may not hold control characters"],
        [["sync", "x".repeat(101)], "at most 100 characters"],
        [["sync", ""], "may not be empty"],
        [["sync", ".."], "may not be . or .."],
        [["contents", "work", "--limit", "0"], "--limit"],
        [["contents", "work", "--limit", "1001"], "--limit"],
        [["contents", "work", "--limit", "many"], `--limit "many" is not valid: give a whole number from 1 to 1000`],
        [["contents", "work", "--limit", "-5"], `--limit "-5" is not valid: give a whole number from 1 to 1000`],
        [["contents", "work", "--text", ""], "--text: expected"],
        [["contents", "work", "--after", ""], "--after: expected"],
        [["search", "roof", "--after", ""], "--after: expected"],
        [["search", "roof", "--from", ""], "--from: expected"],
        [["search", "roof", "--kind", ""], "--kind: expected"],
        [["search", "x".repeat(2001)], "the query: expected"],
        [["sql", "x".repeat(100_001)], "the query: it must have 1 to 100,000 characters"],
        [["tokens", "create", "a/b"], "the name: a token's name has 1 to 100 letters"],
        [["tokens", "create", "a", "--connection", ""], "may not be empty"],
        [["webhooks", "create", ""], "the url: expected"],
        [["webhooks", "create", "https://a.example", "--connection", ""], "may not be empty"],
        [["webhooks", "messages", "w", "--after", ""], "--after: expected"],
        [["deletions", "work", "--no-approve"], "there is no flag --no-approve"],
        [["contents", "work", "--state", "lost"], "--state"],
        [["show", "work", "a\0b"], "an external id may not hold a NUL"],
        [["export", "work"], "--to is missing"],
        [["export", "work", "--to", "-"], "--to - is not standard output: an export writes a folder in every format"],
        [["export", "work", "--to", "x", "--format", "pdf"], "it must be one of eml, mbox, ndjson, files"],
        [["connect", "imap", "--name", "w"], `there is no integration "imap"; there are: memory`],
        [["connect", "memmory", "--name", "w"], `there is no integration "memmory"; did you mean memory?`],
        [["connect", "memory"], "--name is missing"],
        [["connect", "memory", "--name", "w", "--every", "0 minutes"], "more than zero"],
        [["connect", "memory", "--name", "w", "--every", "9999 weeks"], "--every"],
        [["connect", "memory", "--name", "w", "--config", "{"], "--config is not JSON"],
        [
          ["connect", "memory", "--name", "w", "--config", `{"foldr": "a"}`],
          "foldr is not a field of it (did you mean folder?)"
        ],
        [
          ["connect", "memory", "--name", "w", "--credentials", `{"tokn": "a"}`],
          "tokn is not a field of it (did you mean token?)"
        ],
        [["connect", "memory", "--name", "w", "--config", `{"folder": 1}`], "--config: folder: expected string"],
        [["connect", "memory", "--name", "w", "--config", "@/nowhere/x.json"], "--config: the file given after @"],
        [["connect", "memory", "--name", "w", "--credentials", "{}"], "--credentials: token is missing"]
      ]
      for (const [args, expected] of cases) {
        const ended = yield* run(args)
        assert.strictEqual(ended.code, 2, `${args.join(" ").slice(0, 100)}: ${ended.stderr}`)
        assert.include(ended.stderr, expected)
        assert.strictEqual(ended.stderr.trimEnd().split("\n").length, 1, ended.stderr)
        assert.notMatch(ended.stderr, /SchemaError|representing/)
        assert.strictEqual(ended.stdout.length, 0, ended.stdout.toString())
        const asJson = yield* run([...args.slice(0, 1), "--json", ...args.slice(1)])
        assert.strictEqual(asJson.code, 2)
        const document = CommandLine.json(asJson)
        assert.deepStrictEqual(Object.keys(document), ["error"])
        assert.deepStrictEqual(Object.keys(document["error"] ?? {}), ["reason", "message"])
      }
      assert.strictEqual(started.count, 0)
    })
  )

  it.effect("names the range of a number that is out of it", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(DownloadBudget.layer))
      assert.strictEqual(
        CommandFailure.fromError(error).message,
        "IDEM_DOWNLOAD_MEMORY_MB is not valid: it must be a number from 16 to 65536"
      )
    }).pipe(
      Effect.scoped,
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_DOWNLOAD_MEMORY_MB: "1" } })))
    )
  )

  it.effect("is also an unknown connection, and a setting that is not valid", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const unknown = yield* run(["status", "nowhere", "--json"])
      assert.strictEqual(unknown.code, 2)
      assert.strictEqual(CommandLine.json(unknown)["error"].reason, "UnknownConnection")
      const settings = [
        ["PORT", "abc", "PORT is not valid: it must be a port, from 0 to 65535"],
        ["IDEM_SHUTDOWN_TIMEOUT", "soon", `IDEM_SHUTDOWN_TIMEOUT is not valid: it must be a duration like "5 minutes"`],
        [
          "IDEM_SHUTDOWN_TIMEOUT",
          "Infinity",
          "IDEM_SHUTDOWN_TIMEOUT is not valid: it must be a duration from 1s to 1h"
        ],
        ["IDEM_CLUSTER", "perhaps", "IDEM_CLUSTER is not valid: it must be true or false"],
        ["IDEM_PUBLIC_URL", "idem", "IDEM_PUBLIC_URL is not valid: it must be an address like"],
        ["HOST", "0.0.0.0", "HOST 0.0.0.0 can be reached from other machines"],
        ["IDEM_TRUSTED_PROXIES", "x", "IDEM_TRUSTED_PROXIES"]
      ] as const
      for (const [name, value, expected] of settings) {
        const ended = yield* run(["serve"], { env: { PORT: "0", [name]: value } })
        assert.strictEqual(ended.code, 2, ended.stderr)
        assert.include(ended.stderr, expected)
        assert.strictEqual(ended.stderr.trimEnd().split("\n").length, 1, ended.stderr)
      }
    })
  )

  it.effect("is not an id that begins with a dash", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.add("-dash.txt")
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      yield* run(["sync", "work"])
      const raw = yield* run(["show", "work", "-dash.txt", "--raw"])
      assert.deepStrictEqual([raw.code, raw.stdout.length > 0], [0, true], raw.stderr)
      const forced = yield* run(["sync", "work", "--force-id", "-dash.txt", "--json"])
      assert.include(CommandLine.json(forced), { forced: 1, unchanged: 1 })
      const retried = yield* run(["retry", "work", "-dash.txt", "--json"])
      assert.deepStrictEqual([retried.code, CommandLine.json(retried)["error"].reason], [1, "UnknownId"])
      const approved = yield* run(["deletions", "work", "--approve", "-dash.txt"])
      assert.deepStrictEqual([approved.code, approved.stderr.includes(`"-dash.txt"`)], [1, true], approved.stderr)
      // A store in memory supports neither search nor SQL, and the error says so.
      for (const args of [
        ["search", "-terrace roof"],
        ["search", "-terrace"],
        ["search", "-- roof", "--from", "-x y"],
        ["sql", "-- top senders\nSELECT 1"],
        ["--log-level", "error", "search", "-terrace"]
      ]) {
        const { stderr } = yield* run(args)
        assert.match(stderr, /PostgreSQL|memory/, args.join(" "))
      }
    })
  )

  it.effect("is not a word after a flag without a value: the flag does not take it", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const commands = ["webhooks create", "webhooks messages", "tokens create"]
      const help = CommandLine.text(yield* run(["--help"]))
      commands.push(...Array.from(help.matchAll(/^ {2,}([a-z]+) {2,}/gm), ([, name = ""]) => name))
      const found = new Set<string>()
      for (const command of commands) {
        const path = command.split(" ")
        const text = CommandLine.text(yield* run([...path, "--help"]))
        const flags = Array.from(text.matchAll(/^ {2}(--[a-z-]+) {2,}/gm), ([, flag = ""]) => flag)
        for (const flag of flags.filter((each) => each !== "--json" || command === "sync")) {
          found.add(flag)
          // Too many arguments, or unknown ones.
          const before = yield* run([...path, "off", "/dev/null/x", flag])
          const after = yield* run([...path, flag, "off", "/dev/null/x"])
          assert.deepStrictEqual(after, before, `${command} ${flag}`)
          assert.notStrictEqual(after.code, 0, `${command} ${flag}`)
        }
      }
      assert.includeMembers([...found], ["--json", "--new-epoch", "--blobs", "--rest", "--yes", "--raw", "--no-wait"])
    })
  )

  it.effect("never repeats a credential, wherever it was written", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const json = JSON.stringify({ token: secret })
      const cases: ReadonlyArray<ReadonlyArray<string>> = [
        ["connect", "memory", "--name", "w", "--credentials", secret],
        ["connect", "memory", "--name", "w", "--credentials", json.slice(0, -1)],
        ["connect", "memory", "--name", "w", "--credentials", JSON.stringify({ [secret]: "token" })],
        ["connect", "memory", "--name", "w", "--credentials", JSON.stringify({ token: [secret] })],
        ["connect", "memory", "--name", "w", "--credentials", "{token:", secret, "}"],
        ["connect", "memory", "--name", "w", "--credentials", `@${secret}`],
        ["connect", "memory", "--name", "w", "--credentials", json, "--credentials", json],
        ["connect", "memory", "--name", "w", "--credential", json],
        ["connect", "memory", "--name", "w", "--credentials", `--${secret}`],
        ["connect", "memory", "--name", "w", `--${secret}`],
        ["connect", "memory", "--name", `${json}\n`],
        ["connect", "memory", "--name", "w", "--config", json.replace("token", secret)],
        ["connect", "memory", "--name", "w", "--every", secret],
        ["connect", json, "--name", "w"],
        ["conect", "memory", "--credentials", json],
        ["--credentials", json, "connect", "memory"],
        ["sync", "w", "--credentials", json]
      ]
      for (const args of cases) {
        for (const flags of [[], ["--json"], ["--log-level", "debug"]]) {
          const ended = yield* run([...args, ...flags])
          assert.strictEqual(ended.code, 2, args.join(" "))
          assert.notInclude(ended.stderr + ended.stdout.toString(), secret, args.join(" "))
        }
      }
    })
  )
})

describe("shell completion", () => {
  it.effect("completes commands and values in bash", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const script = CommandLine.text(yield* run(["--completions", "bash"]))
      const completed = (line: string) => {
        const words = line.split(" ")
        const call = `COMP_LINE="${line}" COMP_POINT=${line.length} COMP_WORDS=(${words.slice(0, -1).join(" ")} "${words.at(-1)}") COMP_CWORD=${words.length - 1}`
        const program = `${script}\n${call}; _idem; printf '%s\\n' "\${COMPREPLY[@]}"`
        const { stderr, stdout } = spawnSync("bash", ["--norc", "-c", program], { encoding: "utf8" })
        assert.strictEqual(stderr, "")
        return stdout
          .trim()
          .split("\n")
          .map((word) => word.trim())
      }
      assert.include(completed("idem conn"), "connections")
      assert.include(completed("idem contents w --state "), "deferred")
    })
  )
})

describe("help", () => {
  it.effect("is not the answer to --json alone, which is one document", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const alone = yield* run(["--json"])
      assert.strictEqual(alone.code, 2)
      assert.include(CommandLine.json(alone)["error"].message, "a command is missing")
    })
  )

  it.effect("is the answer to --help, and to idem alone", () =>
    Effect.gen(function* () {
      const { run, started } = yield* CommandLine.make(new MemorySource())
      for (const args of [[], ["--help"]]) {
        const ended = yield* run(args)
        assert.strictEqual(ended.code, 0)
        for (const command of ["connect", "sync", "status", "contents", "export", "migrate"]) {
          assert.include(CommandLine.text(ended), command)
        }
      }
      const sync = yield* run(["sync", "--help"])
      assert.include(CommandLine.text(sync), "--force-id")
      assert.strictEqual(CommandLine.text(yield* run(["help", "sync"])), CommandLine.text(sync))
      assert.strictEqual(CommandLine.text(yield* run(["help"])), CommandLine.text(yield* run(["--help"])))
      assert.include(CommandLine.text(yield* run(["--version"])), "idem")
      assert.strictEqual(started.count, 0)
    })
  )
})
