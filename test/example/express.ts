/** Idem in an Express app: it polls while the app listens, and the app serves what it mirrors. */
import { createIdem, type Options } from "@idem-sync/idem"
import Express, { type Express as App } from "express"

export const makeApp = async (options: Options): Promise<{ app: App; close: () => Promise<void> }> => {
  const idem = await createIdem({ ...options, poll: true })
  const app = Express().use(Express.json())
  app.get("/titles/:connection", async ({ params }, response) => {
    const titles = []
    for await (const { title } of idem.contents(params.connection)) titles.push(title)
    response.json(titles)
  })
  app.post("/connections", async ({ body }, response) => void response.json(await idem.connect(body)))
  return { app, close: () => idem.close() }
}
