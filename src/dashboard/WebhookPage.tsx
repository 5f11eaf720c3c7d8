/** One webhook: its state, a test message, its secret, and its messages. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { Ago, Badge, CardTable, Empty, ErrorNotice, Loading, Notice, Time, Title } from "./Components.tsx"
import { Confirm } from "./Dialog.tsx"
import * as Format from "./Format.ts"
import * as Labels from "./Labels.ts"
import { navigate } from "./Location.ts"
import { scopeOf, SecretNotice, useConnections } from "./WebhooksPage.tsx"

/** A mutation of a webhook. The response may contain its secret, so it is not cached. */
const useChange = <A, V>(mutationFn: (value: V) => Promise<A>) => {
  const client = useQueryClient()
  return useMutation({
    mutationFn,
    gcTime: 0,
    onSettled: () => void client.invalidateQueries({ queryKey: ["webhooks"] })
  })
}

const PingNotice = ({ result }: { readonly result: Api.Pinged }) => (
  <Notice
    tone={result.delivered ? "good" : "bad"}
    title={result.delivered ? "The test message was delivered" : "The test message was not delivered"}
    announced
  >
    <p>
      {result.error === null ? `It answered ${result.status ?? "nothing"}` : result.error}, after{" "}
      {Format.duration(result.durationMs)}.
    </p>
  </Notice>
)

interface MessageProps {
  readonly message: Api.WebhookMessage
  readonly webhook: Api.Webhook
}

const MessageRow = ({ message, webhook }: MessageProps) => {
  const again = useChange(() => Api.redeliver(webhook.id, message.id))
  return (
    <tr role="row">
      <th role="rowheader" scope="row" data-label="Message" class="title-cell">
        <span class="id">{message.id}</span>
        <span class="sub">{Format.many(message.changes, "change")}</span>
      </th>
      <td role="cell" data-label="State">
        <Badge tone={Labels.messageTone[message.state]}>{message.state}</Badge>
        <span class="sub">{Format.many(message.attempts, "attempt")}</span>
      </td>
      <td role="cell" data-label="Made" class="nowrap">
        <Time time={message.createdAt} />
      </td>
      <td role="cell" data-label="Last answer" class="reason">
        {message.error ?? (message.status === null ? "none yet" : `status ${message.status}`)}
        {message.answer === null || message.answer === "" ? null : (
          <span class="sub clamped" title={message.answer}>
            {message.answer}
          </span>
        )}
        {message.state === "pending" && message.nextAttemptAt !== null ? (
          <span class="sub">
            next attempt <Ago time={message.nextAttemptAt} />
          </span>
        ) : null}
      </td>
      <td role="cell" data-label={message.state === "dead" ? "Action" : ""}>
        {message.state === "dead" ? (
          <button
            type="button"
            aria-label={`Deliver ${message.id} again`}
            disabled={again.isPending}
            onClick={() => again.mutate(undefined)}
          >
            Deliver again
          </button>
        ) : null}
        {again.error === null ? null : <span class="field-error">{again.error.message}</span>}
      </td>
    </tr>
  )
}

const states: ReadonlyArray<Api.WebhookMessage["state"]> = ["pending", "delivered", "dead"]

const Messages = ({ webhook }: { readonly webhook: Api.Webhook }) => {
  const [state, setState] = useState<Api.WebhookMessage["state"]>()
  const query = useInfiniteQuery({
    queryKey: ["webhooks", webhook.id, "messages", state],
    queryFn: (context) => Api.webhookMessages(webhook.id, state, context.pageParam, context),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }) => next ?? undefined,
    refetchInterval: 5000
  })
  const all = useChange(() => Api.redeliverAll(webhook.id))
  const messages = query.data?.pages.flatMap((page) => page.messages)
  return (
    <section aria-labelledby="messages">
      <div class="heading">
        <h2 id="messages">Messages</h2>
        <div class="buttons">
          <label class="inline">
            State{" "}
            <select
              value={state ?? ""}
              onChange={(event) => setState(states.find((each) => each === event.currentTarget.value))}
            >
              <option value="">any</option>
              {states.map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          </label>
          {webhook.dead === 0 ? null : (
            <button type="button" disabled={all.isPending} onClick={() => all.mutate(undefined)}>
              Deliver {Format.many(webhook.dead, "dead letter")} again
            </button>
          )}
        </div>
      </div>
      <ErrorNotice error={all.error} />
      {query.error instanceof Api.Problem ? (
        <ErrorNotice error={query.error} />
      ) : messages === undefined ? (
        <Loading what="the messages" />
      ) : messages.length === 0 ? (
        <Empty title={state === undefined ? "No message yet" : `No message is ${state}`}>
          <p>Messages are made as contents change. “Send a test message” does not wait for one.</p>
        </Empty>
      ) : (
        <>
          <CardTable
            label="Messages"
            columns={["Message", "State", "Made", "Last answer", "Action"]}
            unlabelled={["Action"]}
          >
            {messages.map((message) => (
              <MessageRow key={message.id} message={message} webhook={webhook} />
            ))}
          </CardTable>
          {query.hasNextPage ? (
            <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {query.isFetchingNextPage ? "Loading…" : "Show more"}
            </button>
          ) : null}
        </>
      )}
    </section>
  )
}

interface ConfirmsProps {
  readonly webhook: Api.Webhook
  readonly asking: "rotate" | "delete" | undefined
  readonly onClose: () => void
  readonly onRotated: (secret: string) => void
}

/** Both actions take effect at once and can't be undone. */
const Confirms = ({ asking, onClose, onRotated, webhook }: ConfirmsProps) => {
  const rotate = useChange(() => Api.rotateSecret(webhook.id))
  const remove = useChange(() => Api.removeWebhook(webhook.id))
  if (asking === "rotate") {
    return (
      <Confirm
        title={`Make a new secret for ${webhook.name}?`}
        confirm="Make a new secret"
        busy={rotate.isPending}
        onConfirm={() => rotate.mutate(undefined, { onSuccess: ({ secret }) => onRotated(secret) })}
        onClose={onClose}
      >
        <p>The present secret also signs for 24 hours, so that no message is lost while you replace it.</p>
        <ErrorNotice error={rotate.error} />
      </Confirm>
    )
  }
  return asking === "delete" ? (
    <Confirm
      title={`Delete ${webhook.name}?`}
      confirm="Delete"
      danger
      busy={remove.isPending}
      onConfirm={() => remove.mutate(undefined, { onSuccess: () => navigate("/webhooks", { replace: true }) })}
      onClose={onClose}
    >
      <p>
        Its messages are deleted with it, the {Format.count(webhook.pending)} pending ones unsent. What is stored is not
        touched.
      </p>
      <ErrorNotice error={remove.error} />
    </Confirm>
  ) : null
}

export const WebhookPage = ({ id }: { readonly id: string }) => {
  const connections = useConnections()
  const [asking, ask] = useState<"rotate" | "delete">()
  const [secret, setSecret] = useState<string>()
  const { data: webhook, error } = useQuery({
    queryKey: ["webhooks", id],
    queryFn: (context) => Api.webhook(id, context),
    refetchInterval: 5000
  })
  const ping = useChange(() => Api.pingWebhook(id))
  const change = useChange((state: "active" | "paused") => Api.changeWebhook(id, { state }))
  const back = (
    <p>
      <a href="#/webhooks">All webhooks</a>
    </p>
  )
  if (webhook === undefined) {
    if (!(error instanceof Api.Problem)) return <Loading what="the webhook" />
    return (
      <>
        <Title name={error.status === 404 ? "There is no such webhook" : "The webhook can't be shown"} />
        <p>{error.message}</p>
        {back}
      </>
    )
  }
  const { text, tone } = Labels.webhookState[webhook.state]
  return (
    <>
      {back}
      <div class="heading">
        <div>
          <Title name={webhook.name} />
          <p class="sub">{webhook.url}</p>
          <p class="sub">{scopeOf(webhook, connections)}</p>
        </div>
        <div class="buttons">
          <Badge tone={tone}>{text}</Badge>
          <button
            type="button"
            disabled={change.isPending}
            onClick={() => change.mutate(webhook.state === "active" ? "paused" : "active")}
          >
            {webhook.state === "active" ? "Pause" : "Resume"}
          </button>
          <button type="button" class="primary" disabled={ping.isPending} onClick={() => ping.mutate(undefined)}>
            {ping.isPending ? "Sending…" : "Send a test message"}
          </button>
        </div>
      </div>
      <ErrorNotice error={ping.error ?? change.error} />
      {ping.data === undefined ? null : <PingNotice result={ping.data} />}
      {secret === undefined ? null : (
        <SecretNotice secret={secret}>
          Copy it to the endpoint that verifies the signatures. The one before it also signs for 24 hours.
        </SecretNotice>
      )}
      {webhook.reason === null ? null : (
        <Notice tone="bad" title="It is disabled">
          <p>{webhook.reason}. Resume it once its endpoint answers: it goes on where it was.</p>
        </Notice>
      )}
      {webhook.failingSince === null || webhook.reason !== null ? null : (
        <Notice tone="warn">
          <p>
            Every attempt has failed since <Time time={webhook.failingSince} />. It is tried again by itself.
          </p>
        </Notice>
      )}
      <Messages webhook={webhook} />
      <section class="panel" aria-labelledby="changing">
        <h2 id="changing">Secret and removal</h2>
        <div class="buttons">
          <button type="button" onClick={() => ask("rotate")}>
            Make a new secret…
          </button>
          <button type="button" class="danger" onClick={() => ask("delete")}>
            Delete the webhook…
          </button>
        </div>
      </section>
      <p class="quiet-text">
        Created <Time time={webhook.createdAt} />; id <code>{webhook.id}</code>.
      </p>
      <Confirms
        asking={asking}
        webhook={webhook}
        onClose={() => ask(undefined)}
        onRotated={(rotated) => {
          ask(undefined)
          setSecret(rotated)
        }}
      />
    </>
  )
}
