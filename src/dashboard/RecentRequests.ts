/** What was asked of a connection by hand a moment ago: until it shows, the page looks often. */
import { type QueryClient, useQueryClient } from "@tanstack/preact-query"

/** Milliseconds after which what was asked has begun, and shows by itself. */
const moment = 15_000

/** Whether something was asked of this connection a moment ago. */
export const isFresh = (client: QueryClient, connection: string): boolean =>
  Date.now() - (client.getQueryData<number>(["asked", connection]) ?? 0) < moment

/** Notes that something was asked of this connection, and reads anew what is shown of it. */
export const useAsked = (connection: string): (() => Promise<void>) => {
  const client = useQueryClient()
  return async () => {
    client.setQueryData(["asked", connection], Date.now())
    await client.invalidateQueries({ queryKey: ["connection", connection] })
  }
}
