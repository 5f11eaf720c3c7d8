/**
 * The content of a source, in the words used everywhere:
 *
 * - external id: the source's own id of a piece of content, unique within its connection.
 * - revision: the source's cheap change token for an id (etag, `edited.ts`, size+mtime); absent where the source has
 *   none.
 * - ref: an external id with its revision, as listed. It may carry its content inline if the listing already gave it.
 * - content: an email, message or file: metadata, and a body that is kept byte for byte.
 */
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { IntegrationError } from "./IntegrationError.ts"

/** The length limit of an external id, in bytes of UTF-8. */
export const maxExternalIdBytes = 1024

/** The length limit of a stored title, in UTF-16 units. Longer titles are cut. */
export const maxTitleLength = 1000

const encoder = new TextEncoder()

/** Returns why this text can't be an external id, or undefined if it can. The reason begins with the subject. */
export const externalIdProblem = (id: string, subject = "an external id"): string | undefined => {
  if (typeof id !== "string") return `${subject} must be a text`
  if (id.length === 0) return `${subject} may not be empty`
  if (id.includes("\0")) return `${subject} may not hold a NUL character`
  if (!id.isWellFormed()) return `${subject} must be well-formed Unicode (no lone surrogates)`
  // A UTF-16 unit is at most three bytes of UTF-8: only a long id need be counted.
  const mayBeLong = id.length * 3 > maxExternalIdBytes
  return mayBeLong && (id.length > maxExternalIdBytes || encoder.encode(id).length > maxExternalIdBytes)
    ? `${subject} may have at most ${maxExternalIdBytes} bytes`
    : undefined
}

/** An external id: not empty, no NUL, well-formed Unicode, at most 1,024 bytes of UTF-8. */
export const ExternalId = Schema.String.pipe(Schema.check(Schema.makeFilter<string>((id) => externalIdProblem(id))))

/**
 * JSON metadata by name, at most 4 MiB and 1,000 deep. NUL and lone surrogates are replaced by U+FFFD when it is
 * stored.
 */
export type Metadata = Schema.JsonObject

/**
 * Points to another content of the same connection with the same body. If the engine finds that content, it copies its
 * body, kind, title and metadata, and does not call `download`. Otherwise it downloads.
 */
export interface Copy {
  /** The `bodyKey` of the other content. */
  readonly bodyKey: string
  /** The metadata of this content that replaces the copied metadata, name by name. */
  readonly metadata: Metadata
  readonly occurredAt?: DateTime.Utc | undefined
}

/** An external id with its revision, as a listing gives them. */
export interface Ref {
  readonly externalId: string
  /** The revision seen in the listing. An absent revision equals only an absent one. */
  readonly revision?: string | undefined
  /** The content itself, if the listing already gave it: then the engine does not call `download` for this ref. */
  readonly content?: Content | undefined
  /** Set if the source reports that this may be a copy of known content, moved or under another id. */
  readonly copy?: Copy | undefined
}

/** The properties of a body that the source announced before it sent the body. */
export interface Announced {
  /** The exact size in bytes; undefined if the source does not announce it. */
  readonly size?: number | undefined
  /** The approximate size in bytes, if the source does not announce the exact one. The engine does not check it. */
  readonly estimate?: number | undefined
  readonly mediaType?: string | undefined
}

/** Fields that an integration may know only after the body. */
export type AfterBody = Pick<Content, "title" | "occurredAt" | "metadata" | "volatile" | "revision" | "bodyKey">

/** A stored email, message or file. */
export interface Content {
  /** The kind of content, in the singular and lower case: `message`, `file`, `channel`. */
  readonly kind: string
  /** A line for people: a subject, a file's name. At most 1,000 characters are kept. */
  readonly title?: string | undefined
  /**
   * When the content was sent, posted or changed, by the source's clock; absent if the source gives no time (never
   * 1970).
   */
  readonly occurredAt?: DateTime.Utc | undefined
  /** The media type of the body, with which it is served. */
  readonly mediaType?: string | undefined
  /** Metadata that changes only when the content does: a difference makes the outcome `updated`. */
  readonly metadata: Metadata
  /** Metadata that differs between two fetches of unchanged content (expiring URLs): kept, never compared. */
  readonly volatile?: Metadata | undefined
  /** The body as the source gave it. A stream opens its resources when it is run, and closes them when it ends. */
  readonly body: Uint8Array | Stream.Stream<Uint8Array, IntegrationError>
  /**
   * The size and media type that the source announced for the body. A body that differs (it was cut short, or is a
   * login page instead of an image) is not stored: the item fails.
   */
  readonly announced?: Announced | undefined
  /**
   * Computes the fields that are known only once the body has been read to its end. These fields replace the ones given
   * here.
   */
  readonly afterBody?: Effect.Effect<AfterBody, IntegrationError> | undefined
  /** The revision that came with the body. The engine stores this revision instead of the ref's. */
  readonly revision?: string | undefined
  /**
   * A key that two contents of the connection share only if the source guarantees that their bodies are the same. Must
   * not be a value that a sender can choose. The bounds are those of an external id. See `Copy`.
   */
  readonly bodyKey?: string | undefined
}

/** Returns the content with the fields of `afterBody`, which are known once its body has been read. */
export const withLateFields = (content: Content): Effect.Effect<Content, IntegrationError> =>
  content.afterBody === undefined
    ? Effect.succeed(content)
    : Effect.map(content.afterBody, (late) => ({ ...content, ...late, afterBody: undefined }))
