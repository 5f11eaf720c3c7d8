/** The dialog that starts a sync (new items, everything, or chosen ids), or a dry run. */
import { useMutation } from "@tanstack/preact-query"
import { useRef, useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { useRecordRequest } from "./RecentRequests.ts"
import { Dialog } from "./Dialog.tsx"
import * as Format from "./Format.ts"
import { ErrorNotice, Field, Notice } from "./Components.tsx"
import * as SyncRequest from "./SyncRequest.ts"
import * as Labels from "./Labels.ts"

const choices: ReadonlyArray<{ readonly what: SyncRequest.What; readonly name: string; readonly hint: string }> = [
  { what: "new", name: "What is new", hint: "as a poll does, but now" },
  {
    what: "all",
    name: "Everything again",
    hint: "downloads all that is listed, stored or not, and stores what differs"
  },
  { what: "ids", name: "Chosen ids again", hint: "downloads just these, and lists nothing" }
]

const Plan = ({ plan }: { readonly plan: Api.Synced }) => (
  <Notice tone={plan.error === undefined ? "good" : "bad"} title="A dry run: nothing was written" announced>
    {plan.error === undefined ? (
      <p>
        It would download {Format.count(plan.planned?.download ?? 0)}, change the metadata of{" "}
        {Format.count(plan.planned?.patch ?? 0)} and delete {Format.count(plan.planned?.delete ?? 0)}.{" "}
        {Format.many(plan.existing, "item")} of {Format.count(plan.listed + plan.forced + plan.retried)} are known
        already. It took {Format.many(plan.apiCalls, "call")} and {Format.many(plan.quotaUnits, "unit")} of quota.
      </p>
    ) : (
      <p>
        {Labels.reason(plan.error.reason)}: {plan.error.message}
      </p>
    )}
  </Notice>
)

export const SyncDialog = ({ onClose, status }: { readonly status: Api.Status; readonly onClose: () => void }) => {
  const [what, setWhat] = useState<SyncRequest.What>("new")
  const [ids, setIds] = useState("")
  const [since, setSince] = useState("")
  const [until, setUntil] = useState("")
  // The same idempotency key for every attempt to send this request.
  const key = useRef<string>(crypto.randomUUID())
  const request = () => SyncRequest.requestOf({ what, ids, since, until })
  const refresh = useRecordRequest(status.id)
  const sync = useMutation({
    mutationFn: () => Api.sync(status.id, request(), key.current),
    onSuccess: async () => {
      await refresh()
      onClose()
    }
  })
  const plan = useMutation({ mutationFn: () => Api.dryRun(status.id, request()) })
  const changed = () => {
    key.current = crypto.randomUUID()
    plan.reset()
    sync.reset()
  }
  const busy = sync.isPending || plan.isPending
  const incomplete = what === "ids" && SyncRequest.idsOf(ids).length === 0
  return (
    <Dialog title={`Sync ${status.name}`} onClose={onClose}>
      <form
        onInput={changed}
        onSubmit={(event) => {
          event.preventDefault()
          sync.mutate()
        }}
      >
        {status.paused === null ? null : (
          <Notice tone="warn">
            <p>The connection is paused. This sync runs all the same, and the connection stays paused.</p>
          </Notice>
        )}
        <fieldset>
          <legend>What</legend>
          {choices.map((choice) => (
            <label class="choice" key={choice.what}>
              <input type="radio" name="what" checked={what === choice.what} onChange={() => setWhat(choice.what)} />
              <span>
                {choice.name}
                <span class="sub">{choice.hint}</span>
              </span>
            </label>
          ))}
        </fieldset>
        {what === "ids" ? (
          <Field label="External ids" hint="One a line, as they are shown under Contents.">
            {(attributes) => (
              <textarea
                {...attributes}
                rows={4}
                spellcheck={false}
                value={ids}
                onInput={(event) => setIds(event.currentTarget.value)}
              />
            )}
          </Field>
        ) : (
          <div class="row">
            <Field label="Since" hint="Optional; included">
              {(attributes) => (
                <input
                  {...attributes}
                  type="datetime-local"
                  value={since}
                  onInput={(event) => setSince(event.currentTarget.value)}
                />
              )}
            </Field>
            <Field label="Until" hint="Optional; not included">
              {(attributes) => (
                <input
                  {...attributes}
                  type="datetime-local"
                  value={until}
                  onInput={(event) => setUntil(event.currentTarget.value)}
                />
              )}
            </Field>
          </div>
        )}
        <ErrorNotice error={sync.error ?? plan.error} />
        {plan.data === undefined ? null : <Plan plan={plan.data} />}
        <div class="buttons end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" disabled={busy || incomplete} onClick={() => plan.mutate()}>
            {plan.isPending ? "Looking…" : "Dry run"}
          </button>
          <button type="submit" class="primary" disabled={busy || incomplete}>
            {sync.isPending ? "Asking…" : "Sync now"}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
