/** Idem in a Fastify app: it polls while the app listens, and the app serves what it mirrors. */
import { createIdem, type Options } from "@idem-sync/idem"
import Fastify, { type FastifyInstance } from "fastify"

export const makeApp = async (options: Options): Promise<FastifyInstance> => {
  const idem = await createIdem({ ...options, poll: true })
  const app = Fastify()
  app.addHook("onClose", () => idem.close())
  app.get<{ Params: { connection: string } }>("/titles/:connection", async ({ params }) => {
    const titles = []
    for await (const { title } of idem.contents(params.connection)) titles.push(title)
    return titles
  })
  app.post("/connections", ({ body }) => idem.connect(body as Parameters<typeof idem.connect>[0]))
  return app
}
