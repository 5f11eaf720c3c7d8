/**
 * Mirrors the issues and comments of a Linear workspace, by its GraphQL API. See https://linear.app/developers/graphql
 */
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"

const PageInfo = Schema.Struct({ hasNextPage: Schema.Boolean, endCursor: Schema.NullOr(Schema.String) })
const List = Schema.Struct({ nodes: Schema.Array(Schema.Unknown), pageInfo: PageInfo })
const Lists = Schema.Struct({ data: Schema.Struct({ list: List }) })
const One = Schema.Struct({ data: Schema.Struct({ item: Schema.Unknown }) })
const oneOf = Schema.decodeUnknownSync(One)

const Issue = Schema.Struct({
  id: Schema.String,
  identifier: Schema.String,
  title: Schema.String,
  description: Schema.NullOr(Schema.String),
  createdAt: Schema.String
})
const Comment = Schema.Struct({ id: Schema.String, body: Schema.String, createdAt: Schema.String })

/** Describes a paged list of GraphQL, and one of its items. */
const graphql = (name: string, fields: string) => ({
  kind: name,
  path: "graphql",
  post: ({ place = null }: { readonly place?: string | null | undefined }) => ({
    query: `query($after: String) {
      list: ${name}s(first: 50, after: $after) { nodes { ${fields} } pageInfo { hasNextPage endCursor } } }`,
    variables: { after: place }
  }),
  answer: Lists,
  items: ({ data }: typeof Lists.Type) => data.list.nodes,
  paging: {
    type: "cursor" as const,
    next: ({ data: { list } }: typeof Lists.Type) => (list.pageInfo.hasNextPage ? list.pageInfo.endCursor : null)
  },
  // Linear's lists omit deleted and archived items.
  absentIsDeleted: true as const,
  id: ({ id }: { readonly id: string }) => id,
  itemPath: (id: string) => ({
    path: "graphql",
    post: { query: `query($id: String!) { item: ${name}(id: $id) { ${fields} } }`, variables: { id } }
  }),
  itemOf: (answer: unknown) => oneOf(answer).data.item
})

export const linear = Idem.rest({
  domain: "linear",
  title: "Linear",
  config: Schema.Struct({
    url: Schema.optionalKey(Schema.String),
    quota: Schema.optionalKey(Idem.Integration.QuotaConfig)
  }),
  scope: [],
  address: ["url"],
  quota: ({ quota }) => ({ unitsPerMinute: 40, ...quota }), // 2,500 requests an hour
  baseUrl: ({ url = "https://api.linear.app" }) => url,
  auth: {
    type: "oauth2",
    provider: ({ url }) => ({
      issuer: url ?? "https://linear.app",
      authorizationUrl: `${url ?? "https://linear.app"}/oauth/authorize`,
      tokenUrl: `${url ?? "https://api.linear.app"}/oauth/token`,
      parameters: { scope: "read" }
    })
  },
  refusal: ({ status, text }) =>
    status === 400 && text.includes("RATELIMITED")
      ? new Idem.RateLimited({ message: "Linear asks to wait" })
      : undefined,
  resources: () => ({
    issues: Idem.restResource({
      ...graphql("issue", "id identifier title description createdAt"),
      item: Issue,
      content: ({ createdAt, description, identifier, title }) => ({
        title: `${identifier} ${title}`,
        occurredAt: createdAt,
        mediaType: "text/markdown",
        body: description ?? ""
      })
    }),
    comments: Idem.restResource({
      ...graphql("comment", "id body createdAt"),
      item: Comment,
      content: ({ body, createdAt }) => ({ occurredAt: createdAt, mediaType: "text/markdown", body })
    })
  })
})
