/** Recent requests of a person for a connection. Until their effect shows, the page refreshes often. */
import { type QueryClient, useQueryClient } from "@tanstack/preact-query"

/** Milliseconds after which a request has begun and shows in the status. */
const recentMillis = 15_000

/** True if there is a recent request for this connection. */
export const hasRecentRequest = (client: QueryClient, connection: string): boolean =>
  Date.now() - (client.getQueryData<number>(["requested", connection]) ?? 0) < recentMillis

/** Records a request for this connection, and refreshes what is shown of it. */
export const useRecordRequest = (connection: string): (() => Promise<void>) => {
  const client = useQueryClient()
  return async () => {
    client.setQueryData(["requested", connection], Date.now())
    await client.invalidateQueries({ queryKey: ["connection", connection] })
  }
}
