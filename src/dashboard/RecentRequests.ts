/** Records recent requests of a person for a connection. Until their effect is visible, the page refreshes often. */
import { type QueryClient, useQueryClient } from "@tanstack/preact-query"

/** Milliseconds after which a request has begun and is visible in the status. */
const recentMillis = 15_000

/** Returns true if there is a recent request for this connection. */
export const hasRecentRequest = (client: QueryClient, connection: string): boolean =>
  Date.now() - (client.getQueryData<number>(["requested", connection]) ?? 0) < recentMillis

/** Returns a function that records a request for this connection, and refreshes its data. */
export const useRecordRequest = (connection: string): (() => Promise<void>) => {
  const client = useQueryClient()
  return async () => {
    client.setQueryData(["requested", connection], Date.now())
    await client.invalidateQueries({ queryKey: ["connection", connection] })
  }
}
