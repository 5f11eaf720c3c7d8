/** The page of a connection: its state, advice for a person, and its tabs. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useEffect, useRef, useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { hasRecentRequest, useRecordRequest } from "./RecentRequests.ts"
import { ContentPage } from "./ContentPage.tsx"
import { ContentsPage } from "./ContentsPage.tsx"
import { DeletionsPage } from "./DeletionsPage.tsx"
import * as Format from "./Format.ts"
import { LedgerPage } from "./LedgerPage.tsx"
import { connectionPath, navigate, useParameters } from "./Location.ts"
import { Overview } from "./Overview.tsx"
import { Badge, ErrorNotice, Loading, Notice, Title } from "./Components.tsx"
import { RunsPage } from "./RunsPage.tsx"
import { SettingsPage } from "./SettingsPage.tsx"
import { NotFoundPage } from "./Shell.tsx"
import { SyncDialog } from "./SyncDialog.tsx"
import * as Labels from "./Labels.ts"

/** True if a run is in progress, queued, or due soon. */
const isMoving = ({ lastRun, nextPollAt, state, unfinished }: Api.Status): boolean =>
  state === "running" ||
  unfinished.length > 0 ||
  lastRun?.status === "running" ||
  (nextPollAt !== null && Date.parse(nextPollAt) < Date.now() + 1000)

/** The connection's status, refreshed each second while a run is in progress or due soon. */
const useStatus = (ref: string) => {
  const client = useQueryClient()
  const query = useQuery({
    queryKey: ["connection", ref, "status"],
    queryFn: (context) => Api.status(ref, context),
    refetchInterval: ({ state: { data } }) =>
      hasRecentRequest(client, ref) || (data !== undefined && isMoving(data)) ? 1000 : 5000
  })
  // Lists that a run changes are refreshed when it ends, and at intervals while it runs.
  const run = query.data?.lastRun ?? null
  const seen = useRef<string | undefined>(undefined)
  const mark = run === null ? "" : `${run.run} ${run.status}`
  useEffect(() => {
    if (seen.current !== undefined && seen.current !== mark) {
      void client.invalidateQueries({
        queryKey: ["connection", ref],
        predicate: ({ queryKey }) => queryKey[2] !== "status"
      })
    }
    if (query.data !== undefined) seen.current = mark
  }, [client, mark, query.data, ref])
  return query
}

const AdviceNotice = ({
  advice,
  busy,
  connection,
  onResume
}: {
  readonly advice: Labels.Advice
  readonly busy: boolean
  readonly connection: Api.Status
  readonly onResume: () => void
}) => (
  <Notice tone={advice.tone} title={advice.title}>
    <p>{advice.text}</p>
    {advice.action === "resume" ? (
      <button type="button" disabled={busy} onClick={onResume}>
        Resume
      </button>
    ) : advice.action === "credentials" ? (
      <a class="button" href={`#${connectionPath(connection.id, "settings")}`}>
        Give new credentials
      </a>
    ) : advice.action === "ledger" ? (
      <a class="button" href={`#${connectionPath(connection.id, "ledger")}`}>
        Open the ledger
      </a>
    ) : advice.action === "deletions" ? (
      <a class="button" href={`#${connectionPath(connection.id, "deletions")}`}>
        Look at the deletions
      </a>
    ) : null}
  </Notice>
)

/** Returns true if a tab shows the same. */
const isElsewhere = (action: Labels.Advice["action"]): boolean => action === "ledger" || action === "deletions"

const Tabs = ({ page, status }: { readonly page: string; readonly status: Api.Status }) => {
  const { totals } = status
  const pages = [
    { page: "", name: "Overview", count: 0 },
    { page: "contents", name: "Contents", count: totals.stored },
    { page: "runs", name: "Runs", count: 0 },
    { page: "ledger", name: "Ledger", count: status.ledger },
    { page: "deletions", name: "Deletions", count: totals.deletionsHeld },
    { page: "settings", name: "Settings", count: 0 }
  ]
  const here = page === "content" ? "contents" : page
  return (
    <nav class="tabs" aria-label={`Pages of ${status.name}`}>
      {pages.map((each) => (
        <a
          key={each.page}
          href={`#${connectionPath(status.id, each.page)}`}
          aria-current={each.page === here ? "page" : undefined}
        >
          {each.name}
          {each.count === 0 ? null : <span class="count">{Format.count(each.count)}</span>}
        </a>
      ))}
    </nav>
  )
}

const Body = ({ page, status }: { readonly page: string; readonly status: Api.Status }) => {
  switch (page) {
    case "":
      return <Overview status={status} />
    case "contents":
      return <ContentsPage status={status} />
    case "content":
      return <ContentPage status={status} />
    case "runs":
      return <RunsPage status={status} />
    case "ledger":
      return <LedgerPage status={status} />
    case "deletions":
      return <DeletionsPage status={status} />
    case "settings":
      return <SettingsPage status={status} />
    default:
      return <NotFoundPage />
  }
}

export const ConnectionPage = ({ connection, page }: { readonly connection: string; readonly page: string }) => {
  const { data: status, error } = useStatus(connection)
  const { data: integrations } = useQuery({
    queryKey: ["integrations"],
    queryFn: Api.integrations,
    staleTime: 600_000
  })
  const [syncing, setSyncing] = useState(false)
  const id = status?.id
  const query = useParameters().toString()
  useEffect(() => {
    // The page was opened with the connection's name. Its URL uses the id.
    const parameters = Object.fromEntries(new URLSearchParams(query))
    if (id !== undefined && id !== connection) navigate(connectionPath(id, page, parameters), { replace: true })
  }, [connection, id, page, query])
  const refresh = useRecordRequest(connection)
  const poll = useMutation({
    mutationFn: (what: "pause" | "resume") => (what === "pause" ? Api.pause(connection) : Api.resume(connection)),
    onSuccess: refresh
  })
  if (status === undefined) {
    if (!(error instanceof Api.Problem)) return <Loading what="the connection" />
    return (
      <>
        <Title name={error.status === 404 ? "There is no such connection" : "The connection can't be shown"} />
        <p>{error.message}</p>
        <p>
          <a href="#/">See all connections</a>
        </p>
      </>
    )
  }
  const { text, tone } = Labels.stateOf(status)
  const signIn = integrations?.find(({ domain }) => domain === status.domain)?.signIn ?? false
  // Advice about stopped polling appears on every page, other advice on the overview only.
  const advice = Labels.advice(status, signIn).filter(({ action }) => page === "" || !isElsewhere(action))
  const canPoll = status.state !== "disconnected"
  return (
    <>
      <div class="heading">
        <div>
          <Title name={status.name} />
          <p class="sub">
            {status.domain} · {status.account}
            {status.memberOf === null ? "" : ` · member of ${status.memberOf}`}
          </p>
        </div>
        <div class="buttons">
          <Badge tone={tone}>{text}</Badge>
          {canPoll ? (
            <>
              <button
                type="button"
                disabled={poll.isPending}
                onClick={() => poll.mutate(status.paused === null ? "pause" : "resume")}
              >
                {status.paused === null ? "Pause" : "Resume"}
              </button>
              <button type="button" class="primary" onClick={() => setSyncing(true)}>
                Sync…
              </button>
            </>
          ) : null}
        </div>
      </div>
      <ErrorNotice error={poll.error} />
      {advice.map((advice) => (
        <AdviceNotice
          key={advice.title}
          advice={advice}
          busy={poll.isPending}
          connection={status}
          onResume={() => poll.mutate("resume")}
        />
      ))}
      <Tabs page={page} status={status} />
      <Body key={page} page={page} status={status} />
      {syncing ? <SyncDialog status={status} onClose={() => setSyncing(false)} /> : null}
    </>
  )
}
