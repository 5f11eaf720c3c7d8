import * as Effect from "effect/Effect"
import * as FtpStandIn from "../../support/ftp/FtpStandIn.ts"
import { Random } from "../Random.ts"
import type { Deed, SourcePlan } from "../Schedule.ts"
import { type ChaosSource, compareIds, sameBytes, type StoredRow } from "../Source.ts"
import { Tally } from "../Tally.ts"

const stamp = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 19).replaceAll(/[-:T]/g, "")

type Command = "RETR" | "MLSD" | "PASS" | "EPSV"

export const make = Effect.fnUntraced(function* (plan: SourcePlan) {
  const random = new Random(plan.seed)
  const byContent = random.chance(0.25)
  const files = new Map<string, FtpStandIn.File>()
  const vanished = new Map<string, FtpStandIn.File>()
  const tally = new Tally()
  const orders: Array<{
    readonly name: string
    readonly command: Command
    readonly action: (bytes: Uint8Array) => FtpStandIn.Action
    left: number
  }> = []
  let seconds = 1_700_000_000
  let versions = 0
  let spoilt = 0
  let added = 0

  const put = (path: string, cost: number) => {
    seconds += 1
    versions += cost
    const text = `${random.chance(0.15) ? "the same" : `${path} at ${seconds}`} `
    files.set(path, {
      bytes: Buffer.from(text.repeat(random.chance(0.2) ? 300 : 1)),
      modified: stamp(seconds)
    })
  }
  const add = () => {
    added += 1
    put(`folder ${added % 3}/${added % 2 === 0 ? "even/" : ""}file ${added}`, 1)
  }
  // A folder without files does not exist; this file keeps the root.
  put("always here", 1)
  for (let index = 0; index < plan.items; index += 1) add()

  const listing = (folder: string): Uint8Array => {
    const prefix = folder === "" ? "" : `${folder}/`
    const lines = [...files].flatMap(([path, file]) =>
      path.startsWith(prefix) && !path.slice(prefix.length).includes("/")
        ? [`type=file;size=${file.bytes.length};modify=${file.modified}; ${path.slice(prefix.length)}\r\n`]
        : []
    )
    return Buffer.from(lines.join(""))
  }
  const path = (argument: string) => argument.split("/").filter(Boolean).join("/")

  const standIn = yield* FtpStandIn.run({
    files,
    script: (command, argument) => {
      if (command === "RETR" || command === "MLSD") source.onRequest()
      const order = orders.find((one) => one.command === command && one.left > 0)
      if (order === undefined) return undefined
      order.left -= 1
      tally.meet(order.name)
      return order.action(
        command === "RETR" ? (files.get(path(argument))?.bytes ?? new Uint8Array()) : listing(path(argument))
      )
    }
  })

  const source: ChaosSource = {
    domain: "ftp",
    tally,
    config: {
      ...standIn.source.config,
      compare: byContent ? "content" : "revision",
      timeout: "4 seconds",
      quota: { unitsPerMinute: 1_000_000_000 }
    },
    credentials: standIn.source.credentials,
    onRequest: () => undefined,
    ids: () => [...files.keys()],

    change: ({ deed, size, which }: Deed) => {
      const names = [...files.keys()].filter((name) => name !== "always here")
      const name = names[which % Math.max(1, names.length)]
      switch (deed % 6) {
        case 0:
        case 1:
          for (let index = 0; index < size; index += 1) add()
          return `put ${size} new files`
        case 2:
        case 3:
          // A file that changes while it is being read is read once more.
          if (name !== undefined) put(name, 3)
          return `edit ${name}`
        case 4:
          if (name !== undefined) files.delete(name)
          return `delete ${name}`
        default: {
          const file = name === undefined ? undefined : files.get(name)
          if (name === undefined || file === undefined) return "nothing to move"
          files.delete(name)
          versions += 1
          files.set(`moved ${added}/${name.replaceAll("/", " ")}`, file)
          return `move ${name}`
        }
      }
    },

    fault: ({ deed, size, which }: Deed) => {
      const command = (["RETR", "MLSD", "RETR", "PASS", "EPSV"] as const)[which % 5] ?? "RETR"
      const order = (
        name: string,
        action: (bytes: Uint8Array) => FtpStandIn.Action,
        on: Command = command,
        times = size
      ) => {
        tally.order(name, times)
        orders.push({ name, command: on, action, left: times })
        spoilt += times
        return `${name} for ${times} ${on}`
      }
      const data = which % 2 === 0 ? "RETR" : "MLSD"
      const half = (bytes: Uint8Array) => bytes.subarray(0, bytes.length / 2)
      switch (deed % 9) {
        case 0:
          return order("421 too many", () => "421 too many connections")
        case 1:
          return order("450 busy", () => "450 busy", data)
        case 2:
          return order("451 for long", () => "451 the disk failed", data, size * 6)
        case 3:
          return order("a dropped connection", () => ({ drop: true }))
        case 4:
          return order("a reset", () => ({ data: "reset", last: "426 reset" }), data)
        case 5:
          return order("no bytes", () => ({ data: "silent", last: "226 done" }), data, 1)
        case 6:
          return order("half the bytes, and says so", (bytes) => ({ data: half(bytes), last: "426 cut" }), data)
        case 7:
          return order(
            "half the bytes, and says it is all",
            (bytes) => ({ data: half(bytes), last: "226 done" }),
            "RETR"
          )
        default:
          return order(
            "a listing that makes no sense",
            () => ({ data: Buffer.from("?\0\u0001 ;;;\r\n"), last: "226 done" }),
            "MLSD"
          )
      }
    },

    vanish: () => {
      const lost = [...files.keys()].filter((name, index) => name !== "always here" && index % 5 !== 0)
      for (const name of lost) {
        const file = files.get(name)
        if (file !== undefined) vanished.set(name, file)
        files.delete(name)
      }
      return lost
    },

    reconsider: (names) => {
      const [first, ...rest] = names
      const file = first === undefined ? undefined : vanished.get(first)
      if (first === undefined || file === undefined) return names
      files.set(first, file)
      return rest
    },

    narrow: () => ({
      config: { ...source.config, exclude: ["folder 1"] },
      outside: new Set([...files.keys()].filter((name) => name.startsWith("folder 1/")))
    }),

    heal: () => void orders.splice(0),

    differences: (stored: ReadonlyMap<string, StoredRow>) => [
      ...compareIds(stored, new Set(files.keys())),
      ...[...files].flatMap(([name, file]) => {
        const row = stored.get(name)
        if (row === undefined) return []
        const digits = row.revision?.split(" ")[1]?.replaceAll(/\D/g, "").slice(0, 14)
        return [
          ...(sameBytes(row.body, file.bytes) ? [] : [`${name} has other bytes`]),
          ...(row.revision?.split(" ")[0] === String(file.bytes.length) && digits === file.modified
            ? []
            : [`${name} has the revision ${row.revision} and not ${file.bytes.length} ${file.modified}`])
        ]
      })
    ],

    downloads: () =>
      byContent
        ? undefined
        : {
            made: standIn.received.filter((line) => line.startsWith("RETR ")).length,
            due: versions + spoilt + standIn.lastTransfers()
          }
  }
  return source
})
