/**
 * The endpoint of a webhook, with ordered faults, and the rules that its messages must keep: each change is delivered
 * at least once and in order, even if the sender is killed (docs/webhooks). Content that changes twice between two
 * messages is reported once, with its latest change. After a failover, a webhook continues at its position in the
 * database, which may lack the last messages: the order begins again there.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Receiver from "../support/Receiver.ts"
import type { EndpointFault } from "./Schedule.ts"
import type { Tally } from "./Tally.ts"

/** A change, as readers of the feed and receivers of webhooks get it: the fields that the harness uses. */
export const Change = Schema.Struct({
  connection: Schema.String,
  content: Schema.Struct({
    externalId: Schema.String,
    state: Schema.String,
    hash: Schema.NullOr(Schema.String),
    updatedAt: Schema.String
  })
})

const decodeBody = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ data: Schema.Struct({ changes: Schema.Array(Change) }) }))
)

/** A content that has changed at least once, with its present state in the database. */
export interface Changed {
  readonly connection: string
  readonly externalId: string
  readonly state: string
  readonly hash: string | null
}

interface Message {
  readonly id: string
  readonly body: string
  isTaken: boolean
  /** Rules on the order apply to messages of one sequence. */
  readonly sequence: number
}

export const make = Effect.fnUntraced(function* (tally: Tally) {
  const receiver = yield* Receiver.make
  const faults: Array<EndpointFault> = []
  /** The messages of each webhook, by its path, in the order of their first arrival. */
  const webhooks = new Map<string, Array<Message>>()
  const problems: Array<string> = []
  let sequence = 0
  let isFailingOver = false

  receiver.answer = (response, nth) => {
    const request = receiver.received[nth]
    if (request === undefined) return
    const messages = webhooks.get(request.path) ?? []
    webhooks.set(request.path, messages)
    const id = String(request.headers["webhook-id"])
    const last = messages.at(-1)
    // During a failover, messages come from the former primary and from the new one, so each is a sequence of its own.
    if (isFailingOver) sequence += 1
    const found = messages.findLast((message) => message.id === id)
    const known = found?.sequence === sequence || found === last ? found : undefined
    if (known !== undefined && known !== last) problems.push(`the message ${id} came again after a later one`)
    if (known !== undefined && known.body !== request.body) problems.push(`the message ${id} came with another body`)
    if (known === undefined && last?.isTaken === false && last.sequence === sequence)
      problems.push(`${id} came before ${last.id} was taken`)
    const message = known ?? { id, body: request.body, isTaken: false, sequence }
    if (known === undefined) messages.push(message)
    else if (known.isTaken) tally.meet("a message delivered again")
    const fault = faults.shift()
    if (fault !== undefined) tally.meet(`endpoint: ${fault}`)
    // After a lost response, only the endpoint knows that it accepted the message.
    message.isTaken ||= fault === undefined || fault === "lost"
    if (fault === "500") response.writeHead(500).end("broken")
    else if (fault === "429") response.writeHead(429, { "retry-after": "1" }).end()
    else if (fault === "reset" || fault === "lost") response.destroy()
    else response.writeHead(204).end()
  }

  /** Changes in the order of their delivery. */
  const changesOf = (messages: ReadonlyArray<Message>) =>
    messages.flatMap(({ body, isTaken, sequence }) =>
      isTaken ? decodeBody(body).data.changes.map((change) => ({ ...change, sequence })) : []
    )

  return {
    /** Returns the URL of another webhook. Its rules are checked separately. */
    url: (path: string) => `http://127.0.0.1:${receiver.port}${path}`,
    fail: (how: EndpointFault, times: number) => {
      tally.order(`endpoint: ${how}`, times)
      for (let index = 0; index < times; index += 1) faults.push(how)
    },
    heal: () => void faults.splice(0),
    /** Called before a standby takes over, and after. */
    failOver: (isOver: boolean) => {
      isFailingOver = !isOver
      sequence += 1
    },
    /** Returns the violations of the order so far. */
    violations: (): ReadonlyArray<string> => [
      ...problems,
      ...[...webhooks].flatMap(([path, messages]) => {
        const latest = new Map<string, string>()
        return changesOf(messages).flatMap(({ connection, content: { externalId, updatedAt }, sequence }) => {
          const key = `${sequence} ${connection} ${externalId}`
          const before = latest.get(key) ?? ""
          latest.set(key, updatedAt)
          return updatedAt < before ? [`${path}: an older change of ${externalId} came after a newer one`] : []
        })
      })
    ],
    /** Returns the changes that were not delivered to the webhook at this path. */
    missing: (path: string, changed: ReadonlyArray<Changed>): ReadonlyArray<string> => {
      const told = new Map(
        changesOf(webhooks.get(path) ?? []).map(({ connection, content }) => [
          `${connection} ${content.externalId}`,
          content
        ])
      )
      return changed.flatMap(({ connection, externalId, hash, state }) => {
        const last = told.get(`${connection} ${externalId}`)
        // If a content was never reported, its deletion need not be reported either.
        if (last === undefined) return state === "deleted" ? [] : [`${path} was never told of ${externalId}`]
        return last.state === state && (state === "deleted" || last.hash === hash)
          ? []
          : [`${path} was told that ${externalId} is ${last.state} with ${last.hash}, and not ${state} with ${hash}`]
      })
    },
    /** Returns the number of accepted messages. */
    taken: () => [...webhooks.values()].flat().filter((message) => message.isTaken).length
  }
})
