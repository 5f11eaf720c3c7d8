/**
 * Clients of a seed over HTTP: they receive webhooks, follow the changes, submit tasks and read ranges of bodies. They
 * repeat a request until a process responds, because seeds kill the server. After a failover, the database may lack the
 * last requests that it accepted: then the clients create the webhook again, and forget the tasks.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Endpoint from "./Endpoint.ts"
import * as FeedReader from "./FeedReader.ts"
import type { Random } from "./Random.ts"
import { sameBytes, type StoredRow } from "./Source.ts"
import type { Tally } from "./Tally.ts"

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  /** Why the body could not be read to its end. */
  readonly broken?: string
}

interface Task {
  readonly connection: string
  readonly id: string
  /** The number of failovers before it was submitted. */
  readonly failovers: number
}

const decodeWebhook = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ id: Schema.String })))

const decodeTask = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({ task: Schema.String, status: Schema.String, finishedAt: Schema.NullOr(Schema.String) })
  )
)

const textOf = ({ bytes }: Answer): string => new TextDecoder().decode(bytes)

/** The milliseconds within which a process must respond. Seeds kill and freeze processes for a few seconds. */
const answersWithin = 120_000

const json = { "content-type": "application/json" }

export interface Options {
  /** Returns the port at which a process responds now; undefined if none does. */
  readonly port: () => number | undefined
  readonly tally: Tally
  readonly note: (line: string) => void
  readonly problems: Array<string>
}

export type Clients = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function* ({ note, port, problems, tally }: Options) {
  const endpoint = yield* Endpoint.make(tally)
  let tasks: Array<Task> = []
  let webhooks = 0
  let keys = 0
  let webhook = { path: "", id: "" }
  let failovers = 0

  /** Makes one attempt. Returns undefined if no process responds. */
  const attempt = (url: string, init: () => RequestInit): Effect.Effect<Answer | undefined> =>
    Effect.promise(async () => {
      const at = port()
      if (at === undefined) return undefined
      const signal = AbortSignal.timeout(5000)
      try {
        const response = await fetch(`http://127.0.0.1:${at}${url}`, { ...init(), signal })
        const { headers, status } = response
        return await response.arrayBuffer().then(
          (body) => ({ status, headers, bytes: new Uint8Array(body) }),
          (error) =>
            signal.aborted
              ? undefined
              : { status, headers, bytes: new Uint8Array(), broken: String(error?.cause ?? error) }
        )
      } catch {
        return undefined
      }
    })

  /** Repeats the request until the response has a status below 500 and a complete body. */
  const request = Effect.fnUntraced(function* (what: string, url: string, init: () => RequestInit) {
    const deadline = Date.now() + answersWithin
    let last = "no answer"
    while (Date.now() < deadline) {
      const answer = yield* attempt(url, init)
      if (answer !== undefined && answer.status < 500 && answer.broken === undefined) return answer
      if (answer !== undefined) last = `${answer.status} ${answer.broken ?? textOf(answer)}`
      yield* Effect.sleep(200)
    }
    problems.push(`${what}: ${last} within two minutes`)
    return undefined
  })

  /** Creates the webhook. If the response is lost, a second webhook remains, which receives every message too. */
  const listen = Effect.gen(function* () {
    let path = ""
    const answer = yield* request("creating a webhook", "/webhooks", () => {
      webhooks += 1
      path = `/hook/${webhooks}`
      return { method: "POST", headers: json, body: JSON.stringify({ url: endpoint.url(path), from: "beginning" }) }
    })
    if (answer === undefined) return
    if (answer.status === 201) webhook = { path, id: decodeWebhook(textOf(answer)).id }
    else problems.push(`creating a webhook: ${textOf(answer)}`)
  })

  const reader = FeedReader.make({
    get: (path) =>
      Effect.map(
        attempt(path, () => ({})),
        (answer) =>
          answer === undefined || answer.broken !== undefined
            ? undefined
            : { status: answer.status, text: textOf(answer) }
      ),
    tally,
    problems
  })

  const submitOnce = Effect.fnUntraced(function* (connection: string, key: string, body: object) {
    const answer = yield* request("submitting a task", `/connections/${encodeURIComponent(connection)}/tasks`, () => ({
      method: "POST",
      headers: { ...json, "idempotency-key": key },
      body: JSON.stringify(body)
    }))
    if (answer === undefined) return undefined
    if (answer.status === 202) return decodeTask(textOf(answer)).task
    problems.push(`submitting a task to ${connection}: ${answer.status} ${textOf(answer)}`)
    return undefined
  })

  /** Submits a task. The same request with the same key must give the same task. */
  const submit = Effect.fnUntraced(function* (connection: string, body: object, twice: boolean) {
    tally.order("a task over HTTP")
    keys += 1
    const key = `key ${keys}`
    const before = failovers
    const id = yield* submitOnce(connection, key, body)
    if (id === undefined) return
    note(`task ${id} of ${connection}: ${JSON.stringify(body)}`)
    tasks.push({ connection, id, failovers: before })
    if (!twice) return
    const again = yield* submitOnce(connection, key, body)
    if (again === undefined || again === id) return
    if (before === failovers) problems.push(`the key of task ${id} gave another task, ${again}`)
    else tasks.push({ connection, id: again, failovers })
  })

  /** The tasks that have not ended. */
  const unfinished = Effect.gen(function* () {
    const found: Array<string> = []
    for (const task of tasks) {
      const { connection, id } = task
      const answer = yield* request(
        "reading a task",
        `/connections/${encodeURIComponent(connection)}/tasks/${id}`,
        () => ({})
      )
      if (answer?.status === 404 && task.failovers < failovers) tasks = tasks.filter((one) => one !== task)
      else if (answer === undefined || answer.status !== 200) {
        found.push(`task ${id} can't be read: ${answer === undefined ? "no answer" : textOf(answer)}`)
      } else {
        const { finishedAt, status } = decodeTask(textOf(answer))
        if (finishedAt === null) found.push(`task ${id} of ${connection} is still ${status}`)
      }
    }
    return found
  })

  /** Reads this range of a body, and compares it with the known bytes. */
  const readRange = Effect.fnUntraced(function* (
    connection: string,
    { body, externalId, place }: StoredRow,
    [start, end]: readonly [number, number],
    header: string
  ) {
    const name = `a range of a body in the ${place}`
    tally.order(name)
    const query = new URLSearchParams({ externalId })
    const url = `/connections/${encodeURIComponent(connection)}/content/body?${query}`
    // No fault is active any more, so an incomplete body is an error, and the request is not repeated.
    const first = yield* attempt(url, () => ({ headers: { range: header } }))
    if (first?.broken !== undefined) {
      problems.push(`${externalId} in the ${place}: the body of ${header} broke off: ${first.broken}`)
      return
    }
    const answer = first ?? (yield* request("reading a body", url, () => ({ headers: { range: header } })))
    if (answer === undefined) return
    const right = body.subarray(start, end)
    const told = `bytes ${start}-${end - 1}/${body.length}`
    if (answer.status !== 206 || answer.headers.get("content-range") !== told || !sameBytes(answer.bytes, right)) {
      problems.push(
        `${externalId} in the ${place}: ${header} gave ${answer.status} with ` +
          `${answer.headers.get("content-range")} and ` +
          `${answer.bytes.length} bytes, and not the ${right.length} bytes ${told}`
      )
    } else tally.meet(name)
  })

  /** Reads ranges of some stored bodies: at both ends, and in the middle. */
  const readRanges = Effect.fnUntraced(function* (
    connection: string,
    stored: ReadonlyMap<string, StoredRow>,
    random: Random
  ) {
    const rows = [...stored.values()].filter(({ body }) => body.length > 8)
    const large = rows.filter(({ place }) => place !== "row")
    for (const row of [...large.slice(0, 4), ...rows.slice(0, 1)]) {
      const { length } = row.body
      const start = random.between(1, length - 2)
      const end = random.between(start + 1, length - 1)
      yield* readRange(connection, row, [start, end], `bytes=${start}-${end - 1}`)
      yield* readRange(connection, row, [start, length], `bytes=${start}-`)
      yield* readRange(connection, row, [length - start, length], `bytes=-${start}`)
    }
  })

  return {
    endpoint,
    listen,
    reader,
    /** Called before a standby takes over, and after. */
    failOver: (isOver: boolean) => {
      endpoint.failOver(isOver)
      reader.failOver(isOver)
      if (isOver) failovers += 1
    },
    /** Creates the webhook again if the database has lost it in a failover. */
    listenAgain: Effect.gen(function* () {
      if (failovers === 0) return
      const answer = yield* request("reading a webhook", `/webhooks/${webhook.id}`, () => ({}))
      if (answer?.status === 404) yield* listen
    }),
    submit,
    unfinished,
    readRanges,
    /** Returns the changes that were not delivered to the webhook yet, or not read by the reader. */
    missing: (changed: ReadonlyArray<Endpoint.Changed>) => [
      ...endpoint.missing(webhook.path, changed),
      ...reader.differences(changed)
    ],
    /** Notes that all submitted tasks have ended. */
    meetTasks: () => tally.meet("a task over HTTP", tasks.length)
  }
})
