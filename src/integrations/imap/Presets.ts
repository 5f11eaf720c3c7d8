/** The servers of providers that many people have. Sources: each provider's page on IMAP settings. */

export interface Preset {
  readonly host: string
  readonly port: number
  /** Where a refresh token becomes an access token, at a provider that takes access tokens for IMAP. */
  readonly tokenUrl?: string
}

/**
 * - gmail: https://developers.google.com/workspace/gmail/imap/imap-smtp, and for tokens
 *   https://developers.google.com/identity/protocols/oauth2/web-server
 * - outlook: https://support.microsoft.com/office/d088b986-291d-42b8-9564-9c414e2aa040, and for tokens
 *   https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
 * - fastmail: https://www.fastmail.help/hc/en-us/articles/1500000278342
 * - icloud: https://support.apple.com/102525
 * - yahoo: https://help.yahoo.com/kb/SLN4075.html
 * - posteo: https://posteo.de/en/help/how-do-i-set-up-posteo-in-an-email-client-pop3-imap-and-smtp
 */
export const presets = {
  gmail: { host: "imap.gmail.com", port: 993, tokenUrl: "https://oauth2.googleapis.com/token" },
  outlook: {
    host: "outlook.office365.com",
    port: 993,
    tokenUrl: "https://login.microsoftonline.com/common/oauth2/v2.0/token"
  },
  fastmail: { host: "imap.fastmail.com", port: 993 },
  icloud: { host: "imap.mail.me.com", port: 993 },
  yahoo: { host: "imap.mail.yahoo.com", port: 993 },
  posteo: { host: "posteo.de", port: 993 }
} satisfies Record<string, Preset>

export const providers = ["gmail", "outlook", "fastmail", "icloud", "yahoo", "posteo"] as const
