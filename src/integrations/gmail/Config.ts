/** The settings of a connection to Gmail, and the messages that they select. */
import * as Schema from "effect/Schema"
import { field } from "../../contract/Field.ts"
import { aboutQuota, QuotaConfig } from "../../contract/Integration.ts"

/**
 * The label of chats from Hangouts and Google Talk. Their `raw` is empty or truncated, but `format=full` has their text
 * (GAM-team/got-your-back#84).
 */
export const chatLabel = "CHAT"

export const Config = Schema.Struct({
  query: field(Schema.optionalKey(Schema.String), {
    title: "Only messages that match",
    description:
      "A search as in Gmail; empty mirrors all. Such a connection lists its matches at each poll: 5 units for 500 ids.",
    example: "from:billing@example.com newer_than:1y"
  }),
  labelIds: field(Schema.optionalKey(Schema.Array(Schema.NonEmptyString)), {
    title: "Only messages with all of these labels",
    description: "The ids of the labels. The ids of Gmail's own labels are their names in capitals.",
    example: ["INBOX"],
    isAdvanced: true
  }),
  includeSpamTrash: field(Schema.optionalKey(Schema.Boolean), {
    title: "Spam and Trash too",
    description: "Default no: a message that goes to Spam or Trash counts as deleted."
  }),
  includeChats: field(Schema.optionalKey(Schema.Boolean), {
    title: "Chats too",
    description: "Default no: chats of Hangouts and Google Talk (label CHAT) are left out.",
    isAdvanced: true
  }),
  rootUrl: field(
    Schema.optionalKey(
      Schema.String.pipe(
        Schema.check(
          Schema.makeFilter((text) =>
            /^https?:$/.test(URL.parse(text)?.protocol ?? "") ? undefined : "must be an http or https URL"
          )
        )
      )
    ),
    {
      title: "Another server",
      description: "The origin of another server that speaks Gmail's API, instead of Google's.",
      example: "http://127.0.0.1:4567",
      isAdvanced: true
    }
  ),
  quota: field(
    Schema.optionalKey(
      Schema.Struct({
        ...QuotaConfig.fields,
        /** Bytes of messages a day of the account. */
        bytesPerDay: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
        /** Units of the OAuth client's project, which all accounts that signed in with it share. */
        project: Schema.optionalKey(
          Schema.Struct({
            unitsPerMinute: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
            unitsPerDay: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0))))
          })
        )
      })
    ),
    aboutQuota
  )
})
export type Config = typeof Config.Type

/** The filter of a listing. */
export interface Filter {
  readonly query?: string | undefined
  readonly labelIds?: ReadonlyArray<string> | undefined
  readonly includeSpamTrash?: boolean | undefined
  readonly includeChats?: boolean | undefined
}

/** Returns the filter of a config. An empty `query` or `labelIds` counts as absent. */
export const filterOf = (config: Config): Filter => ({
  query: config.query?.trim() === "" ? undefined : config.query,
  labelIds: config.labelIds?.length === 0 ? undefined : config.labelIds,
  includeSpamTrash: config.includeSpamTrash,
  includeChats: config.includeChats === true || config.labelIds?.includes(chatLabel) === true
})

/** Describes the chats that are left out, and the setting that includes them. */
export const withoutChats = (chats: string): string => `${chats} (label ${chatLabel}): includeChats: true takes them`
