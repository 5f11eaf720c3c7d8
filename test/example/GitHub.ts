/** Mirrors the issues of a GitHub repository. See https://docs.github.com/en/rest/issues/issues */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"

const Issue = Schema.Struct({
  number: Schema.Int,
  title: Schema.String,
  body: Schema.NullOr(Schema.String),
  state: Schema.String,
  created_at: Schema.String,
  updated_at: Schema.String,
  pull_request: Schema.optionalKey(Schema.Unknown)
})

const Config = Schema.Struct({
  repository: Schema.String,
  url: Schema.optionalKey(Schema.String),
  quota: Schema.optionalKey(Idem.Integration.QuotaConfig)
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
      content: ({ body, created_at, state, title }) => ({
        title,
        occurredAt: created_at,
        mediaType: "text/markdown",
        metadata: { state },
        body: body ?? ""
      })
    })
  })
})
