/** Mirrors the issues of a GitHub repository, with their comments. See https://docs.github.com/en/rest/issues */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"

const text = { id: Schema.Int, body: Schema.NullOr(Schema.String), created_at: Schema.String }
const Comment = Schema.Struct(text)
const Issue = Schema.Struct({
  ...text,
  number: Schema.Int,
  title: Schema.String,
  state: Schema.String,
  comments: Schema.Int,
  updated_at: Schema.String,
  pull_request: Schema.optionalKey(Schema.Unknown)
})

const Config = Schema.Struct({
  repository: Schema.String,
  url: Schema.optionalKey(Schema.String),
  quota: Schema.optionalKey(Idem.Integration.QuotaConfig)
})

const contentOf = ({ body, created_at }: typeof Comment.Type) => ({
  occurredAt: created_at,
  mediaType: "text/markdown",
  body: body ?? ""
})

export const github = Idem.rest({
  domain: "github",
  config: Config,
  scope: ["repository"],
  address: ["url"],
  quota: ({ quota }) => ({ unitsPerMinute: 80, ...quota }), // 5,000 requests an hour
  baseUrl: ({ url = "https://api.github.com" }) => url,
  auth: { type: "bearer" },
  refusal: ({ status, text }) =>
    status === 403 && text.includes("rate limit")
      ? new Idem.RateLimited({ message: "GitHub asks to wait" })
      : undefined,
  resources: ({ repository }) => ({
    issues: Idem.restResource({
      kind: "issue",
      path: `repos/${repository}/issues`,
      query: { state: "all", sort: "created", direction: "asc", per_page: "100" },
      paging: { type: "link" },
      since: (time) => ({ since: DateTime.formatIso(time) }),
      item: Issue,
      id: ({ number }) => number,
      itemPath: (number) => `repos/${repository}/issues/${number}`,
      includes: (issue) => issue.pull_request === undefined, // GitHub lists pull requests as issues
      content: (issue) => ({ ...contentOf(issue), title: issue.title, metadata: { state: issue.state } }),
      children: {
        comments: {
          of: ({ comments, number }) =>
            comments === 0 ? undefined : { path: `repos/${repository}/issues/${number}/comments` },
          resource: Idem.restChild({
            kind: "comment",
            query: { per_page: "100" },
            paging: { type: "link" },
            absentIsDeleted: true,
            item: Comment,
            id: ({ id }) => id,
            itemPath: (id) => `repos/${repository}/issues/comments/${id}`,
            content: contentOf
          })
        }
      }
    })
  })
})
