/** The servers of providers that many people have. Sources: each provider's page on IMAP settings. */

export interface Preset {
  readonly host: string
  readonly port: number
}

/**
 * - gmail: https://developers.google.com/workspace/gmail/imap/imap-smtp
 * - outlook: https://support.microsoft.com/office/d088b986-291d-42b8-9564-9c414e2aa040
 * - fastmail: https://www.fastmail.help/hc/en-us/articles/1500000278342
 * - icloud: https://support.apple.com/102525
 * - yahoo: https://help.yahoo.com/kb/SLN4075.html
 * - posteo: https://posteo.de/en/help/how-do-i-set-up-posteo-in-an-email-client-pop3-imap-and-smtp
 */
export const presets = {
  gmail: { host: "imap.gmail.com", port: 993 },
  outlook: { host: "outlook.office365.com", port: 993 },
  fastmail: { host: "imap.fastmail.com", port: 993 },
  icloud: { host: "imap.mail.me.com", port: 993 },
  yahoo: { host: "imap.mail.yahoo.com", port: 993 },
  posteo: { host: "posteo.de", port: 993 }
} satisfies Record<string, Preset>

export const providers = ["gmail", "outlook", "fastmail", "icloud", "yahoo", "posteo"] as const
