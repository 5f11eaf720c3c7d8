/**
 * Removes titles, hashes and times of contents from the messages of webhooks: they are read when a message is sent, so
 * that a purge has nothing to remove from messages.
 */
import { statements } from "./Statements.ts"

export const messageContents = statements([
  `UPDATE webhook_message SET body = jsonb_set(body::jsonb, '{data,changes}', (
      SELECT coalesce(jsonb_agg(jsonb_set(change, '{content}', (change -> 'content') ||
        '{"revision": null, "hash": null, "size": 0, "title": null, "occurredAt": null}') ORDER BY n), '[]')
      FROM jsonb_array_elements(body::jsonb #> '{data,changes}') WITH ORDINALITY AS each(change, n)))::text
    WHERE body IS NOT NULL AND body::jsonb #> '{data,changes}' IS NOT NULL`
])
