/** The queries of docs/sql.md: each is run on an example by `sql.test.ts`. */
export const queries: ReadonlyArray<{ readonly title: string; readonly sql: string }> = [
  {
    title: "Emails from somebody with attachments, this month",
    sql: `SELECT sent_at, subject FROM mail
WHERE from_address = 'ann@example.com' AND has_attachments AND sent_at >= date_trunc('month', now())
ORDER BY sent_at DESC`
  },
  {
    title: "Who writes to you most",
    sql: `SELECT from_address, count(*) AS mails FROM mail GROUP BY 1 ORDER BY 2 DESC LIMIT 20`
  },
  {
    title: "Conversations that wait for your answer: the last email is not yours",
    sql: `SELECT last.thread, last.subject, last.from_address, last.sent_at
FROM (SELECT DISTINCT ON (connection, thread) * FROM mail ORDER BY connection, thread, sent_at DESC) AS last
WHERE NOT 'SENT' = ANY(last.labels) AND last.sent_at < now() - interval '2 days'
ORDER BY last.sent_at DESC`
  },
  {
    title: "One conversation, in order",
    sql: `SELECT sent_at, from_name, snippet FROM mail
WHERE thread = (SELECT thread FROM mail WHERE subject = 'Offer' LIMIT 1) ORDER BY sent_at`
  },
  {
    title: "Unread emails by sender",
    sql: `SELECT from_address, count(*) AS unread FROM mail WHERE 'UNREAD' = ANY(labels) GROUP BY 1 ORDER BY 2 DESC`
  },
  {
    title: "Everybody that you have exchanged emails with",
    sql: `SELECT address, max(name) AS name, count(DISTINCT mail) AS mails FROM mail_address
WHERE address IS NOT NULL GROUP BY address ORDER BY mails DESC LIMIT 100`
  },
  {
    title: "Emails that went to two people at once",
    sql: `SELECT mail.sent_at, mail.subject FROM mail
JOIN mail_address AS a ON a.connection = mail.connection AND a.mail = mail.id AND a.address = 'bob@example.com'
JOIN mail_address AS b ON b.connection = mail.connection AND b.mail = mail.id AND b.address = 'cid@example.com'
WHERE a.role <> 'from' AND b.role <> 'from' ORDER BY mail.sent_at DESC`
  },
  {
    title: "Emails a month, and their size",
    sql: `SELECT date_trunc('month', sent_at) AS month, count(*) AS mails, pg_size_pretty(sum(size)) AS size
FROM mail GROUP BY 1 ORDER BY 1 DESC`
  },
  {
    title: "The largest attachments",
    sql: `SELECT a.file_name, pg_size_pretty(a.size) AS size, mail.subject, mail.from_address FROM attachment AS a
JOIN mail ON mail.connection = a.connection AND mail.id = a.content
ORDER BY a.size DESC LIMIT 20`
  },
  {
    title: "Attachments that came more than once",
    sql: `SELECT sha256, min(file_name) AS file_name, count(*) AS copies, pg_size_pretty(sum(size) - max(size)) AS wasted
FROM attachment GROUP BY sha256 HAVING count(*) > 1 ORDER BY sum(size) - max(size) DESC`
  },
  {
    title: "Words in emails and their attachments",
    sql: `SELECT mail.sent_at, mail.subject, a.file_name FROM mail
LEFT JOIN attachment AS a ON a.connection = mail.connection AND a.content = mail.id AND a.text ILIKE '%invoice%'
WHERE mail.text ILIKE '%invoice%' OR a.text IS NOT NULL ORDER BY mail.sent_at DESC LIMIT 50`
  },
  {
    title: "The busiest Slack channels of the last 30 days",
    sql: `SELECT channel_name, count(*) AS messages, count(DISTINCT user_id) AS people FROM slack_message
WHERE sent_at > now() - interval '30 days' AND deleted_at IS NULL GROUP BY 1 ORDER BY 2 DESC`
  },
  {
    title: "Who talks where",
    sql: `SELECT user_name, channel_name, count(*) AS messages FROM slack_message
WHERE deleted_at IS NULL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50`
  },
  {
    title: "Questions in Slack that nobody answered",
    sql: `SELECT sent_at, channel_name, user_name, text FROM slack_message
WHERE text LIKE '%?%' AND thread_ts IS NULL AND reply_count = 0 AND reaction_count = 0 AND deleted_at IS NULL
ORDER BY sent_at DESC LIMIT 50`
  },
  {
    title: "The longest threads, with how they began",
    sql: `SELECT channel_name, text, reply_count FROM slack_message
WHERE reply_count > 0 AND deleted_at IS NULL ORDER BY reply_count DESC LIMIT 20`
  },
  {
    title: "Messages that were edited or deleted",
    sql: `SELECT sent_at, channel_name, user_name, edited_at, deleted_at, text FROM slack_message
WHERE edited_at IS NOT NULL OR deleted_at IS NOT NULL ORDER BY sent_at DESC LIMIT 50`
  },
  {
    title: "The largest files, of all sources",
    sql: `SELECT connection, title, pg_size_pretty(size) AS size, occurred_at FROM content
WHERE kind = 'file' AND state = 'stored' ORDER BY content.size DESC LIMIT 20`
  },
  {
    title: "The same bytes in several places",
    sql: `SELECT min(title) AS title, count(*) AS copies, string_agg(DISTINCT connection, ', ') AS connections FROM content
WHERE state = 'stored' AND size > 0 GROUP BY sha256 HAVING count(*) > 1 ORDER BY sum(size) DESC`
  },
  {
    title: "Folders by size",
    sql: `SELECT folder, count(*) AS files, pg_size_pretty(sum(size)) AS size FROM file GROUP BY 1 ORDER BY sum(size) DESC`
  },
  {
    title: "What was deleted at the source last week",
    sql: `SELECT deleted_at, connection, kind, title FROM content
WHERE deleted_at > now() - interval '7 days' ORDER BY deleted_at DESC`
  },
  {
    title: "What each connection holds",
    sql: `SELECT connection, source, kind, count(*) AS contents, pg_size_pretty(sum(size)) AS size, max(occurred_at) AS newest
FROM content WHERE state = 'stored' GROUP BY 1, 2, 3 ORDER BY 1, 3`
  },
  {
    title: "What feeds published this week",
    sql: `SELECT connection, published_at, author, title, link FROM feed_entry
WHERE published_at > now() - interval '7 days' ORDER BY published_at DESC`
  }
]
